//! A machine to throw away, and a terminal on it.

use std::path::PathBuf;

use tempfile::TempDir;

use super::ROOT;
use crate::support::{Process, tool};

/// What a machine has of its own. It ends with the process that made it.
const NAMESPACES: [&str; 6] = [
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--mount-proc",
    "--kill-child",
];

/// A shell on a machine that has the files of this one and keeps its own changes to them.
///
/// Documents name files below `/etc` and the port 4433, and need root in places. Here they get all
/// of it as they say, in as many tests at once as there are.
pub(super) struct Machine {
    shell: Process,
    _scratch: TempDir,
}

impl Machine {
    pub(super) fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let script = PathBuf::from(ROOT).join("tests/e2e/documents/machine.sh");
        // A user namespace would not do: files below `/etc` are other users' there.
        let mut way = vec!["unshare"];
        if !rustix::process::geteuid().is_root() {
            way = vec!["sudo", "-n", "unshare"];
        }
        let mut command = tool("bash", "bash");
        command
            .args(["-c", r#"exec "$@" 2>&1"#, "bash"])
            .args(way)
            .args(NAMESPACES)
            .arg("bash")
            .arg(script)
            .arg(scratch.path())
            .arg(ROOT)
            .arg(env!("CARGO_BIN_EXE_tidings"));
        let mut machine = Self {
            shell: Process::spawn(command),
            _scratch: scratch,
        };
        machine.shell.out.wait_for("@up");
        machine.type_in("cd /srv/new; exec 3<> /silence");
        machine
    }

    /// Stores `text` as the file `name`, in the current folder unless it says another.
    pub(super) fn store(&mut self, name: &str, text: &str) {
        let end = "end-of-this-file";
        assert!(!text.contains(end));
        let text = text.strip_suffix('\n').unwrap_or(text);
        self.type_in(&format!("cat > '{name}' <<'{end}'\n{text}\n{end}"));
    }

    /// Runs a block in the shell, so that its variables and functions stay.
    ///
    /// # Panics
    ///
    /// With its `place` and output, when one of its commands fails.
    pub(super) fn run(&mut self, id: usize, place: &str, block: &str) {
        // A command that fails ends the shell, and the trap tells of it.
        let (code, lines) = self.run_by(
            id,
            block,
            "trap 'printf \"\\n@end %s\\n\" $?' EXIT; set -eu -o pipefail; . FILE < /dev/null; \
             set +eu; trap - EXIT; printf '\\n@end 0\\n'",
        );
        assert_eq!(code, 0, "{place}: {block}{lines:#?}");
    }

    /// Runs a block in a shell below the shell. Gives its exit code and its output.
    pub(super) fn run_apart(&mut self, id: usize, block: &str) -> (i32, Vec<String>) {
        self.run_by(
            id,
            block,
            "(set -eu -o pipefail; . FILE < /dev/null); printf '\\n@end %s\\n' $?",
        )
    }

    fn run_by(&mut self, id: usize, block: &str, how: &str) -> (i32, Vec<String>) {
        let file = format!("/run/block-{id}");
        self.store(&file, block);
        let before = self.shell.out.all().len();
        self.type_in(&how.replace("FILE", &file));
        let (code, mut lines) = self.shell.out.wait_until(block, |lines| {
            let (at, code) = lines
                .iter()
                .enumerate()
                .skip(before)
                .find_map(|(at, line)| Some((at, line.strip_prefix("@end ")?.parse().ok()?)))?;
            Some((code, lines[before..at].to_vec()))
        });
        lines.retain(|line| !line.starts_with('@'));
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        (code, lines)
    }

    /// Runs a block in a terminal of its own, which stays; its standard input says nothing.
    pub(super) fn spawn(&mut self, id: usize, block: &str) {
        let file = format!("/run/block-{id}");
        self.store(&file, block);
        self.type_in(&format!(
            "(set -eu -o pipefail; . {file} <&3 2>&1 | sed -u 's/^/@{id} /') &"
        ));
    }

    /// Waits until the terminal `id` shows `text`.
    pub(super) fn wait_for(&self, id: usize, text: &str) {
        let prefix = format!("@{id} ");
        self.shell
            .out
            .wait_until(&format!("{text:?} in terminal {id}"), |lines| {
                let shown = |line: &String| line.starts_with(&prefix) && line.contains(text);
                lines.iter().any(shown).then_some(())
            });
    }

    fn type_in(&mut self, text: &str) {
        self.shell.write(format!("{text}\n").as_bytes());
    }
}

impl Drop for Machine {
    /// The shell ends when it has nothing more to read, and all that it has started ends with it:
    /// where `sudo` has made the machine, this user may not kill it.
    fn drop(&mut self) {
        self.shell.close_stdin();
    }
}
