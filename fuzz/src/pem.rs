//! PEM files: of CAs, of the own certificate and key, of revocation lists.

use std::fs;

use tidings::pki::{inspect::{CertificateSummary, CrlSummary}, Authority};

use crate::{
    certificate_authority::{contents_of, read_tls, request, world},
    oracle::{check_message, take_byte},
};

/// Letters of a line of a key that must not show: a shorter one can be a word of the message.
const SECRET_LETTERS_MIN: usize = 24;

/// The first byte chooses which of the files the rest is.
pub fn run(mut input: &[u8]) {
    let which = take_byte(&mut input) % 4;
    let world = world();
    let (path, mut files) = (world.file("pem-input", input), world.files());
    let credentials = &mut files.credentials;
    match which {
        0 => credentials.ca = path.clone(),
        1 => credentials.certificate = path.clone(),
        2 => credentials.key = path.clone(),
        _ => files.crls = vec![path.clone()],
    }
    match (which, read_tls(files)) {
        (2, Err(message)) => check_secrecy(input, &message),
        (0 | 1, Ok(_)) => {
            let shown = CertificateSummary::read(&path).expect("what serves can be shown");
            check_count(input, &["CERTIFICATE", "X509 CERTIFICATE"], shown.len());
        }
        (3, Ok(_)) => {
            let shown = CrlSummary::read(&path).map_or(0, |shown| shown.len());
            // Or it is DER.
            if input.starts_with(b"-----") {
                check_count(input, &["X509 CRL"], shown);
            }
        }
        _ => {}
    }
    for fault in [
        CertificateSummary::read(&path).err(),
        CrlSummary::read(&path).err(),
    ]
    .into_iter()
    .flatten()
    {
        check_message(&fault);
    }
    let authority = if which == 2 {
        Authority::load(&world.certificates.ca(), &path)
    } else {
        Authority::load(&path, &world.certificates.key("ca"))
    };
    if let Err(fault) = authority {
        let message = check_message(&fault);
        check_secrecy(input, &message);
    }
}

/// Nobody runs with less than the file holds.
fn check_count(file: &[u8], labels: &[&str], taken: usize) {
    let file = String::from_utf8_lossy(file);
    let count = |label: &&str| file.matches(&format!("-----BEGIN {label}-----")).count();
    assert_eq!(labels.iter().map(count).sum::<usize>(), taken);
}

fn check_secrecy(key: &[u8], message: &str) {
    let text = String::from_utf8_lossy(key);
    let secrets = text
        .lines()
        .filter(|line| line.len() >= SECRET_LETTERS_MIN && !line.contains('-'));
    for secret in secrets {
        assert!(!message.contains(secret), "{message} tells a line of the key");
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let certificates = &world().certificates;
    let read = |path| fs::read_to_string(path).expect("a file");
    let (ca, list) = (read(certificates.ca()), read(certificates.crl()));
    let server = read(certificates.certificate("server"));
    let key = read(certificates.key("server"));
    let chained = world().intermediate.issue(&request("carol")).expect("a certificate");
    let joined = [ca.trim_end(), chained.certificate_pem.as_str()].concat();
    let with = |which: u8, text: &str| [&[which], text.as_bytes()].concat();
    let mut seeds = vec![
        with(0, &ca),
        with(0, &joined),
        with(0, &format!("\u{feff}some words\r\n{}", ca.replace('\n', "\r\n"))),
        with(0, &ca.replace("BEGIN CERTIFICATE", "BEGIN TRUSTED CERTIFICATE")),
        with(0, &ca.replace('\n', "\n  ")),
        with(1, &format!("{server}{key}")),
        with(1, &chained.certificate_pem),
        with(2, &key),
        with(2, &format!("{server}{key}")),
        with(2, &key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")),
        with(2, &key.replace("-----\n", "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n")),
        with(2, &key.replace("BEGIN PRIVATE", "BEGIN EC PRIVATE")),
        with(3, &list),
        with(3, &format!("{list}{list}{ca}")),
    ];
    let list = contents_of(&list).swap_remove(0);
    seeds.push([&[3], list.as_slice()].concat());
    seeds
}
