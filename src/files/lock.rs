//! One at a time: a lock on a folder.

use std::{fs::File, io, path::Path, sync::mpsc, thread, time::Duration};

/// How long another may hold the lock. Whoever can read a folder can lock it, and must not be able
/// to keep something from being revoked without a word.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Waits until nobody else holds the lock of `folder`. Held until the file is dropped.
///
/// # Errors
///
/// When it cannot be had, or not in time: `TimedOut`.
pub(crate) fn lock(folder: &Path) -> io::Result<File> {
    lock_within(folder, TIMEOUT)
}

fn lock_within(folder: &Path, timeout: Duration) -> io::Result<File> {
    let file = File::open(folder)?;
    let (done, locked) = mpsc::channel();
    // There is no lock with a timeout. A thread that waits in vain ends with the program.
    thread::Builder::new().spawn(move || done.send(file.lock().map(|()| file)))?;
    locked.recv_timeout(timeout).unwrap_or_else(|_| {
        let fault = format!(
            "another program has held its lock for {} s: `fuser -v {}` names who is there",
            timeout.as_secs_f32(),
            folder.display()
        );
        Err(io::Error::new(io::ErrorKind::TimedOut, fault))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_another_keeps_is_not_waited_for_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let held = lock(folder.path()).unwrap();
        let fault = lock_within(folder.path(), Duration::from_millis(10)).unwrap_err();
        assert_eq!(fault.kind(), io::ErrorKind::TimedOut);
        drop(held);
        assert!(lock(folder.path()).is_ok());
    }
}
