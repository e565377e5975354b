use std::{
    convert::Infallible,
    io::{self, IsTerminal},
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use parking_lot::Mutex;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::getpgrp,
    termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr},
};
use tokio::sync::mpsc;

/// Single keys of the terminal that the process was started from. On drop, the terminal is as before.
pub(super) struct Keyboard {
    before: Termios,
    pressed: Mutex<mpsc::Receiver<u8>>,
    has_ended: Arc<AtomicBool>,
}

// === impl Keyboard ===

impl Keyboard {
    /// Takes keys from now on; `None` when the standard input is no terminal or the process is in its background.
    pub(super) fn open() -> Option<Self> {
        let stdin = io::stdin();
        if !stdin.is_terminal() || !is_in_foreground() {
            return None;
        }
        let before = tcgetattr(&stdin).ok()?;
        let mut single = before.clone();
        // Ctrl-C stays a signal.
        single.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Now, &single).ok()?;
        let (sender, pressed) = mpsc::channel(8);
        let has_ended = Arc::new(AtomicBool::new(false));
        let keyboard = Self { before, pressed: Mutex::new(pressed), has_ended: Arc::clone(&has_ended) };
        thread::Builder::new().name("keyboard".into()).spawn(move || read(&sender, &has_ended)).ok()?;
        Some(keyboard)
    }

    /// Hands every key on.
    pub(super) async fn presses(&self, mut take: impl FnMut(u8)) -> Infallible {
        loop {
            let key = std::future::poll_fn(|task| self.pressed.lock().poll_recv(task)).await;
            match key {
                Some(key) => take(key),
                // The terminal has gone.
                None => std::future::pending().await,
            }
        }
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        self.has_ended.store(true, Relaxed);
        // In the background, the terminal is the shell's, and changing it would stop the process.
        if is_in_foreground() {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
        }
    }
}

/// Reading stops a process that is in the background, so it waits until there is a key and looks where it is first.
fn read(sender: &mpsc::Sender<u8>, has_ended: &AtomicBool) {
    let stdin = io::stdin();
    while !has_ended.load(Relaxed) {
        let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut fds, Some(&PAUSE)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(_) => return,
        }
        if !is_in_foreground() {
            thread::sleep(std::time::Duration::from_millis(250));
            continue;
        }
        let mut key = [0];
        match rustix::io::read(stdin.as_fd(), &mut key) {
            Ok(1) if sender.blocking_send(key[0]).is_ok() => {}
            Err(rustix::io::Errno::INTR) => {}
            _ => return,
        }
    }
}

/// A terminal that does not control this process has no background.
fn is_in_foreground() -> bool {
    tcgetpgrp(io::stdin()).map_or(true, |group| group == getpgrp())
}

/// How long the thread outlives the keyboard at most.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };
