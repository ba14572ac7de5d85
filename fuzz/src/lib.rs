//! Fuzz targets of tidings: one for each reader of bytes from outside.
//!
//! A target is a module with two functions. `run` hands one input to the reader and panics at
//! whatever must never be: beside a panic of the reader itself an answer without bound, two ways of
//! reading that disagree, or something let in that a simple model refuses. `seeds` gives inputs to
//! start from, which are made anew each time, so that no key and no certificate lies in the
//! repository.
//!
//! Each `run` goes through public functions of tidings alone, the same that the server calls.

use std::{env, fs, path::Path};

#[doc(hidden)]
pub use libfuzzer_sys;

mod certificate_authority;
mod oracle;

macro_rules! targets {
    ($($name:ident)+) => {
        $(pub mod $name;)+

        /// Every target.
        pub const TARGETS: &[Target] = &[$(Target {
            name: stringify!($name),
            run: $name::run,
            seeds: $name::seeds,
        },)+];

        /// A target whose expectations no longer fit the reader would stop each fuzzer at once.
        #[cfg(test)]
        mod holds_on_its_seeds {
            $(#[test]
            fn $name() {
                let seeds = crate::$name::seeds();
                assert!(!seeds.is_empty());
                seeds.iter().for_each(|seed| crate::$name::run(seed));
            })+
        }
    };
}

targets! {
    lines
    server_lines
    topics
    rules
    tokens
    jwks
    pem
    crl
    certificates
    handshake
}

/// A reader of bytes from outside.
pub struct Target {
    pub name: &'static str,
    /// Panics at a finding.
    pub run: fn(&[u8]),
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// The program of one target.
#[macro_export]
macro_rules! fuzz {
    ($name:ident) => {
        $crate::libfuzzer_sys::fuzz_target!(
            init: $crate::write_seeds(stringify!($name)),
            |input: &[u8]| $crate::$name::run(input)
        );
    };
}

/// Writes the seeds of a target into the folder that the variable `FUZZ_SEEDS` names, if it does.
///
/// libFuzzer reads its corpus after this.
pub fn write_seeds(name: &str) {
    let (Some(folder), Some(target)) = (
        env::var_os("FUZZ_SEEDS"),
        TARGETS.iter().find(|target| target.name == name),
    ) else {
        return;
    };
    fs::create_dir_all(&folder).expect("the folder of seeds can be made");
    for (index, seed) in (target.seeds)().iter().enumerate() {
        let path = Path::new(&folder).join(format!("seed-{index}"));
        fs::write(path, seed).expect("a seed can be written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_program() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
        let mut programs: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_owned())
            .collect();
        programs.sort();
        let mut targets: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        targets.sort_unstable();
        assert_eq!(programs, targets);
    }
}
