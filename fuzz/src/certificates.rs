//! Certificates and chains of clients: who they are, and whether they are let in.

use pem::Pem;
use rustls::pki_types::CertificateDer;
use tidings::{identity::{IdentityError, IdentitySource, identity_of}, pki::inspect::CertificateSummary, text::escaped};

use crate::{
    certificate_authority::{contents_of, elements, now, request, signed_part, world},
    oracle::{check_bounded_message, check_identity, check_message, take_byte},
};

/// The first byte chooses which of the certificates that follow are signed first: each bit for one.
pub fn run(mut input: &[u8]) {
    let chain = chain(take_byte(&mut input), input);
    for certificate in &chain {
        check_identities(certificate);
    }
    let clients = &world().tls.clients;
    let moment = now().into();
    if let Some(change) = clients.changes_at(&chain, moment) {
        assert!(change > moment);
    }
    match clients.verify(&chain, moment) {
        Ok(()) => {
            assert_eq!(clients.reverify(clients, &chain, moment), Ok(()));
            // Names that are not looked at can be garbled, and then nothing is shown.
            if let Ok(shown) = show(&chain[0]) {
                assert!(shown.is_for_clients());
                assert!(shown.not_before <= now() && now() <= shown.not_after);
            }
        }
        Err(refusal) => drop(check_bounded_message(&refusal)),
    }
}

/// The CA signs where a bit of `signed` is 0.
pub fn chain(signed: u8, input: &[u8]) -> Vec<CertificateDer<'static>> {
    let sign = |(index, certificate): (usize, &[u8])| {
        let is_signed = signed.checked_shr(index as u32).unwrap_or_default() & 1 == 0;
        let certificate = if is_signed {
            world().sign(certificate)
        } else {
            certificate.to_vec()
        };
        CertificateDer::from(certificate)
    };
    // One more than are looked at, beside the client's own.
    elements(input).into_iter().take(10).enumerate().map(sign).collect()
}

fn check_identities(certificate: &CertificateDer<'_>) {
    let shown = show(certificate);
    for source in [
        IdentitySource::CommonName,
        IdentitySource::SanDns,
        IdentitySource::SanUri,
        IdentitySource::SanEmail,
    ] {
        let identity = identity_of(certificate, source);
        match &identity {
            Ok(identity) => check_identity(identity),
            Err(fault) => drop(check_bounded_message(fault)),
        }
        let Ok(shown) = &shown else { continue };
        assert_eq!(shown.identity(source), identity);
        let names = match source {
            IdentitySource::CommonName => &shown.common_names,
            IdentitySource::SanDns => &shown.dns,
            IdentitySource::SanUri => &shown.uris,
            IdentitySource::SanEmail => &shown.emails,
        };
        match (&identity, names.as_slice()) {
            (Ok(identity), names) => assert_eq!(names, [identity.as_str()]),
            (Err(IdentityError::Missing(_)), names) => assert!(names.is_empty()),
            (Err(IdentityError::Ambiguous(_)), names) => assert!(names.len() > 1),
            // One that is no text is shown among the other names.
            (Err(IdentityError::Unreadable), names) => {
                assert!(!names.is_empty() || !shown.other_names.is_empty());
            }
            (Err(_), names) => assert!(!names.is_empty()),
        }
    }
    if let Ok(shown) = shown {
        for text in [&shown.subject, &shown.issuer] {
            check_message(&escaped(text));
        }
    }
}

/// As `tidings certs show` reads it.
fn show(certificate: &CertificateDer<'_>) -> Result<CertificateSummary, String> {
    let text = pem::encode(&Pem::new("CERTIFICATE", certificate.as_ref()));
    let shown = CertificateSummary::read(&world().file("certificates-input", text.as_bytes()));
    shown.map(|mut all| all.remove(0)).map_err(|fault| check_message(&fault))
}

pub fn seeds() -> Vec<Vec<u8>> {
    let world = world();
    let mut named = request("alice");
    named.dns = vec!["sensor.example.org".to_owned()];
    named.ips = vec![[127, 0, 0, 1].into()];
    named.uris = vec!["spiffe://example.org/sensor".to_owned()];
    named.emails = vec!["alice@example.org".to_owned()];
    let mut twice = request("one");
    twice.common_names.push("two".to_owned());
    twice.dns = vec!["a.example".to_owned(), "b.example".to_owned()];
    let direct = [request("alice"), request("ä\u{202e}\n"), named, twice];
    let direct = direct.map(|request| world.authority.issue(&request).expect("a certificate"));
    let chained = world.intermediate.issue(&request("carol")).expect("a certificate");
    let mut seeds = Vec::new();
    for issued in direct.iter().chain([&chained]) {
        let chain = contents_of(&issued.certificate_pem);
        let signed: Vec<Vec<u8>> = chain.iter().map(|whole| signed_part(whole)).collect();
        seeds.push([&[0], signed.concat().as_slice()].concat());
        seeds.push([&[0xff], chain.concat().as_slice()].concat());
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_ca_signs_is_let_in_directly_and_by_an_intermediate() {
        let seeds = seeds();
        for seed in [&seeds[0], &seeds[seeds.len() - 2]] {
            let chain = chain(seed[0], &seed[1..]);
            assert_eq!(world().tls.clients.verify(&chain, now().into()), Ok(()));
        }
    }
}
