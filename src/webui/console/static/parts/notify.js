// What is seen and heard without looking at the page: the count in the tab, notifications, a sound.

import { keep, kept, UNKEPT } from "../shared/kept.js";
import { line } from "../shared/text.js";
import { eventPath, go, page } from "../pages.js";

/** @returns {boolean} whether this browser shows notifications */
export const wanted = () => kept("notify", (value) => value === true) && "Notification" in window && Notification.permission === "granted";

/** Turns notifications on or off. @returns {Promise<string | undefined>} why it cannot */
export async function switchNotifications() {
  if (wanted()) {
    keep("notify", undefined);
    return undefined;
  }
  if (!("Notification" in window)) return "This browser shows notifications only on pages that it trusts: use https.";
  if ((await Notification.requestPermission()) !== "granted") return "The browser does not allow notifications for this page.";
  return keep("notify", true) ? undefined : UNKEPT;
}

/**
 * Tells of events that became critical.
 * @param {{events: any[], count: number}} news
 */
export function announce({ events, count }) {
  if (!wanted()) return;
  const [first] = events;
  const more = count > 1 ? ` and ${count - 1} more` : "";
  const note = new Notification(`${line(first.entity, 60)} / ${line(first.check, 60)} is critical${more}`, {
    body: `${line(first.cluster, 60)}: ${first.output}`, tag: "fedgate-critical",
  });
  note.onclick = () => {
    focus();
    go(count > 1 ? page("events", { q: "status:critical silenced:no", sort: "changed" })
      : eventPath(first));
  };
  beep();
}

/** Two short tones, made here: no file to load. */
function beep() {
  try {
    const audio = new AudioContext();
    for (const [at, pitch] of [[0, 660], [0.18, 880]]) {
      const tone = audio.createOscillator();
      const volume = audio.createGain();
      tone.frequency.value = pitch;
      volume.gain.setValueAtTime(0.12, audio.currentTime + at);
      volume.gain.exponentialRampToValueAtTime(0.001, audio.currentTime + at + 0.16);
      tone.connect(volume).connect(audio.destination);
      tone.start(audio.currentTime + at);
      tone.stop(audio.currentTime + at + 0.17);
    }
    setTimeout(() => void audio.close(), 1000);
  } catch {
    // No sound is no reason to lose the notification.
  }
}

let shown = "";

/**
 * The worst there is, as the icon and the title of the tab.
 * @param {number[]} counts critical, warning, unknown; without what is silenced
 * @param {string} title
 * @param {boolean} blind whether something could not be read
 */
export function badgeTab(counts, title, blind) {
  const worst = counts.slice(0, 3).findIndex(Boolean);
  const count = counts[worst];
  const colour = ["#c8323c", "#b87a00", "#7a5bb0"][worst] ?? (blind ? "#6b7280" : "#2a8a57");
  document.title = `${counts[0] ? `(${counts[0]}) ` : ""}${title} - fedgate`;
  const text = count > 99 ? "99" : count ? String(count) : blind ? "?" : "";
  const state = `${colour} ${text}`;
  if (state === shown) return;
  shown = state;
  const picture = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="${colour}"/>` +
    `<text x="16" y="${text.length > 1 ? 23 : 24}" font-family="sans-serif" font-weight="700" font-size="${text.length > 1 ? 19 : 22}" text-anchor="middle" fill="#fff">${text}</text></svg>`;
  document.querySelector("link[rel=icon]")?.setAttribute("href", `data:image/svg+xml,${encodeURIComponent(picture)}`);
}
