//! A lock on a folder, so that one program at a time changes its files.

use std::{fs::File, io, path::Path, sync::mpsc, thread, time::Duration};

/// How long to wait for the lock. Every user who can read a folder can lock it, and must not be able to
/// silently prevent a revocation.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Waits for the lock on `folder`, which is held until the file is dropped.
///
/// # Errors
///
/// When the folder cannot be locked; `TimedOut` when another program holds the lock.
pub(crate) fn lock(folder: &Path) -> io::Result<File> {
    lock_within(folder, TIMEOUT)
}

fn lock_within(folder: &Path, timeout: Duration) -> io::Result<File> {
    let file = File::open(folder)?;
    let (done, locked) = mpsc::channel();
    // There is no lock with a timeout. A thread that still waits ends with the program.
    thread::Builder::new().spawn(move || done.send(file.lock().map(|()| file)))?;
    locked.recv_timeout(timeout).unwrap_or_else(|_| {
        let fault = format!(
            "another program has held its lock for {} s: `fuser -v {}` shows which",
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
    fn waiting_for_a_lock_ends() {
        let folder = tempfile::tempdir().unwrap();
        let held = lock(folder.path()).unwrap();
        let fault = lock_within(folder.path(), Duration::from_millis(10)).unwrap_err();
        assert_eq!(fault.kind(), io::ErrorKind::TimedOut);
        drop(held);
        assert!(lock(folder.path()).is_ok());
    }
}
