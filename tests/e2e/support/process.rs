use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::DEADLINE;

/// How often a process is asked whether it has ended, which tells nobody by itself.
const EXIT_POLL: Duration = Duration::from_millis(5);

/// A child process whose output is collected line by line. It and what it started are killed when
/// this is dropped.
pub(crate) struct Process {
    child: Child,
    command: String,
    stdin: Option<ChildStdin>,
    pub(crate) out: Lines,
    pub(crate) err: Lines,
    status: Option<ExitStatus>,
}

/// What a process that has ended leaves behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<String>,
    pub(crate) err: Vec<String>,
}

impl Process {
    /// Starts `command` with all three streams piped, unless it has redirected its output.
    pub(crate) fn spawn(command: Command) -> Self {
        Self::spawn_with(command, Stdio::piped())
    }

    /// The same with another standard output.
    pub(crate) fn spawn_with(mut command: Command, out: Stdio) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let out = child.stdout.take().map_or_else(Lines::none, Lines::of);
        Self {
            stdin: child.stdin.take(),
            out,
            err: Lines::of(child.stderr.take().unwrap()),
            command: format!("{command:?}"),
            child,
            status: None,
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Writes to its standard input.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("standard input is still open");
        stdin.write_all(bytes).unwrap();
        stdin.flush().unwrap();
    }

    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Hands its standard input over, for a thread to write.
    pub(crate) fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().expect("standard input is still open")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        assert!(self.status.is_none(), "{} has ended", self.command);
        kill_process(self.pid(), signal).unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.try_status().is_none()
    }

    /// Waits for its end. Does not close its standard input.
    pub(crate) fn wait(&mut self) -> Outcome {
        let deadline = Instant::now() + DEADLINE;
        while self.try_status().is_none() {
            assert!(
                Instant::now() < deadline,
                "{} does not end; it said {:#?}\nand {:#?}",
                self.command,
                self.out.all(),
                self.err.all()
            );
            thread::park_timeout(EXIT_POLL);
        }
        self.out.wait_end();
        self.err.wait_end();
        Outcome {
            code: self.status.and_then(|status| status.code()),
            out: self.out.all(),
            err: self.err.all(),
        }
    }

    fn try_status(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().unwrap();
        }
        self.status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.try_status().is_none() {
            // It may have ended since: then there is nothing to kill.
            let _ = kill_process_group(self.pid(), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// Runs `command` to its end with nothing to read.
pub(crate) fn run(command: Command) -> Outcome {
    let mut process = Process::spawn(command);
    process.close_stdin();
    process.wait()
}

impl Outcome {
    /// Everything it said on standard error.
    pub(crate) fn err_text(&self) -> String {
        self.err.join("\n")
    }
}

/// The lines of a stream, as they come.
#[derive(Clone)]
pub(crate) struct Lines(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let lines = Self(Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
        }));
        let writer = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                writer.change(|state| state.lines.push(line));
            }
            writer.change(|state| state.ended = true);
        });
        lines
    }

    /// Of a stream that is not read here.
    fn none() -> Self {
        let lines = Self::of(std::io::empty());
        lines.wait_end();
        lines
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.0.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Who panics over what came has not changed it.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything so far.
    pub(crate) fn all(&self) -> Vec<String> {
        self.state().lines.clone()
    }

    /// Waits for the first line with `text` in it.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        self.wait_until(&format!("a line with {text:?}"), |lines| {
            lines.iter().find(|line| line.contains(text)).cloned()
        })
    }

    /// Waits for the first `count` lines.
    pub(crate) fn wait_count(&self, count: usize) -> Vec<String> {
        self.wait_until(&format!("{count} lines"), |lines| {
            lines.get(..count).map(<[String]>::to_vec)
        })
    }

    /// Waits until `found` finds what it looks for in the lines.
    pub(crate) fn wait_until<T>(&self, what: &str, found: impl Fn(&[String]) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        let mut state = self.state();
        loop {
            if let Some(found) = found(&state.lines) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !state.ended && !left.is_zero(),
                "{what} did not come; what came: {:#?}",
                state.lines
            );
            state = self.0.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Waits until something comes or `time` is over: whether more may come.
    pub(super) fn wait_change(&self, time: Duration) -> bool {
        let state = self.state();
        if state.ended {
            return false;
        }
        let (state, _) = self.0.changed.wait_timeout(state, time).unwrap();
        !state.ended
    }

    fn wait_end(&self) {
        let deadline = Instant::now() + DEADLINE;
        let mut state = self.state();
        while !state.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the stream does not end");
            state = self.0.changed.wait_timeout(state, left).unwrap().0;
        }
    }
}
