// What is shown, as a file.

import { csvCell } from "../shared/text.js";

/**
 * @param {string} name
 * @param {import("./table.js").Column[]} columns
 * @param {any[]} rows
 */
export function asCsv(name, columns, rows) {
  const lines = [columns.map((column) => csvCell(column.title)).join(",")];
  for (const row of rows) lines.push(columns.map((column) => csvCell(column.plain?.(row))).join(","));
  // With the mark, spreadsheets read it as UTF-8.
  save(`${name}.csv`, `\uFEFF${lines.join("\r\n")}\r\n`, "text/csv;charset=utf-8");
}

/**
 * @param {string} name
 * @param {any[]} rows
 */
export function asJson(name, rows) {
  const items = rows.map(({ key, text, ...row }) => row);
  save(`${name}.json`, `${JSON.stringify(items, null, 1)}\n`, "application/json");
}

/**
 * @param {string} name
 * @param {string} text
 * @param {string} type
 */
function save(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
