//! Revocation lists, most of them signed by the CA whatever is in them.

use std::fs;

use pem::Pem;
use tidings::pki::{inspect::CrlSummary, Revocation, RevocationList, RevocationReason, Serial};

use crate::{
    certificate_authority::{
        contents_of, elements, now, read_tls, signed_part, valid, world,
    },
    oracle::{check_message, take_byte},
};

/// The first byte chooses whether the lists that follow are signed first, and whether they come as
/// PEM.
pub fn run(mut input: &[u8]) {
    let choice = take_byte(&mut input);
    let (is_to_be_signed, is_pem) = (choice & 1 == 0, choice & 2 == 0);
    let world = world();
    let lists: Vec<Vec<u8>> = elements(input)
        .into_iter()
        .map(|list| if is_to_be_signed { world.sign(list) } else { list.to_vec() })
        .collect();
    let file = if is_pem {
        let blocks = lists.iter().map(|list| Pem::new("X509 CRL", list.as_slice()));
        pem::encode_many(&blocks.collect::<Vec<_>>()).into_bytes()
    } else {
        lists.concat()
    };
    let path = world.file("crl-input", &file);
    let mut files = world.files();
    files.crls = vec![
        path.clone(),
        world.certificates.certificate("intermediate"),
    ];
    let shown = CrlSummary::read(&path).map_err(|fault| check_message(&fault));
    if let Ok(tls) = read_tls(files) {
        // Each entry of a list takes some of its bytes.
        assert!(tls.clients.revoked_count() <= file.len());
        assert!(shown.is_ok(), "what serves can be shown");
        for list in &lists {
            assert!(world.has_signed(list), "a list that the CA has not signed is in force");
        }
        let chain = world.chain("alice");
        for moment in [now().into(), valid().not_after.into()] {
            if let Err(refusal) = tls.clients.verify(&chain, moment) {
                check_message(&refusal);
            }
            let judged_again = tls.clients.reverify(&world.tls.clients, &chain, moment);
            if tls.clients.verify(&chain, moment).is_ok() {
                assert_eq!(judged_again, Ok(()));
            }
        }
    }
    check_renewal(&path);
}

/// A list of ours is continued by signing what was read of it again.
fn check_renewal(path: &std::path::Path) {
    let authority = &world().authority;
    let list = match authority.read_crl(path) {
        Ok(list) => list,
        Err(fault) => {
            check_message(&fault);
            return;
        }
    };
    match authority.sign_crl(&list) {
        Ok(signed) => {
            let path = world().file("crl-input", signed.as_bytes());
            let again = authority.read_crl(&path).expect("what was written is read");
            assert_eq!(again, list);
        }
        Err(fault) => drop(check_message(&fault)),
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let world = world();
    let entry = |serial: Serial, reason| Revocation {
        serial,
        since: now(),
        reason,
        invalid_since: Some(now()),
    };
    let shown = tidings::pki::inspect::CertificateSummary::read(
        &world.certificates.certificate("alice"),
    )
    .expect("a certificate");
    let alice: Serial = shown[0].serial.parse().expect("a serial number");
    let other: Serial = "4F".parse().expect("a serial number");
    let list = |revocations| RevocationList {
        number: 7,
        this_update: valid().not_before,
        next_update: valid().not_after,
        revocations,
    };
    let reasons = RevocationReason::OF_CERTIFICATES;
    let many = reasons.map(|reason| entry(other.clone(), reason)).to_vec();
    let mut lists = [
        list(Vec::new()),
        list(vec![entry(alice, RevocationReason::KeyCompromise)]),
        list(many),
    ]
    .iter()
    .map(|list| world.authority.sign_crl(list).expect("a list"))
    .collect::<Vec<_>>();
    lists.push(world.intermediate.sign_crl(&list(Vec::new())).expect("a list"));
    lists.push(fs::read_to_string(world.certificates.crl()).expect("a list"));
    let mut seeds = Vec::new();
    for list in &lists {
        let der = contents_of(list).swap_remove(0);
        for choice in [0, 2] {
            seeds.push([&[choice], signed_part(&der).as_slice()].concat());
        }
        seeds.push([&[1], der.as_slice()].concat());
        seeds.push([&[3], der.as_slice()].concat());
    }
    let mut forged = contents_of(&lists[0]).swap_remove(0);
    *forged.last_mut().expect("a signature") ^= 1;
    seeds.push([&[1], forged.as_slice()].concat());
    let both = [&lists[0], &lists[3]].map(|list| signed_part(&contents_of(list)[0]));
    seeds.push([&[0], both.concat().as_slice()].concat());
    seeds
}
