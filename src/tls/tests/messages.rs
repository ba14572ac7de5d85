//! What is told of a handshake that failed, and of files that cannot be used: the fault, and what
//! to do.

use std::time::UNIX_EPOCH;

use rcgen::{
    CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree, KeyUsagePurpose, NameConstraints,
    SanType,
};
use rustls::client::ResolvesClientCert;

use super::*;
use crate::{
    identity::{IdentitySource, identity_of},
    tls::x509::unix_time,
};

/// A CA below `authority`, and a client's certificate below that, each as `change` has it.
struct Chain<'a> {
    authority: &'a Authority,
    intermediate: CertificateParams,
    leaf: CertificateParams,
}

impl<'a> Chain<'a> {
    fn new(authority: &'a Authority) -> Self {
        let named = |name: &str| {
            let mut params = CertificateParams::default();
            params
                .distinguished_name
                .push(rcgen::DnType::CommonName, name);
            params
        };
        let mut intermediate = named("intermediate");
        intermediate.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let mut leaf = named("alice");
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Self {
            authority,
            intermediate,
            leaf,
        }
    }

    fn client(self) -> Side {
        let key = KeyPair::from_pem(&self.authority.key_pem()).unwrap();
        let root = Issuer::from_ca_cert_pem(self.authority.certificate_pem(), key).unwrap();
        let (intermediate_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let intermediate = self
            .intermediate
            .signed_by(&intermediate_key, &root)
            .unwrap();
        let issuer = Issuer::new(self.intermediate, intermediate_key);
        let leaf = self.leaf.signed_by(&key, &issuer).unwrap();
        let side = client_of(self.authority, "replaced");
        side.with("own.crt", leaf.pem() + &intermediate.pem());
        side.with("own.key", key.serialize_pem());
        side
    }
}

#[test]
fn an_intermediate_for_other_uses_is_blamed_and_not_the_client() {
    let authority = Authority::generate_root("root", 1, Validity::days(30)).unwrap();
    let server = read_server(&server_of(&authority).credentials(), &[]).unwrap();
    let mut chain = Chain::new(&authority);
    chain.intermediate.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let (reason, _) = refusal(&chain.client(), &server);
    let expected = "certificate 2 of the client's chain is of a CA for other uses";
    assert!(reason.starts_with(expected), "{reason}");

    let mut chain = Chain::new(&authority);
    chain.leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let (reason, _) = refusal(&chain.client(), &server);
    assert!(
        reason.starts_with("the client's certificate is not for client use"),
        "{reason}"
    );
}

/// WebPKI does not look at it.
#[test]
fn an_intermediate_that_may_not_sign_certificates_vouches_for_nobody() {
    let authority = Authority::generate_root("root", 1, Validity::days(30)).unwrap();
    let server = read_server(&server_of(&authority).credentials(), &[]).unwrap();
    let chain_with = |usages: &[KeyUsagePurpose]| {
        let mut chain = Chain::new(&authority);
        chain.intermediate.key_usages = usages.to_vec();
        chain.client()
    };
    let (reason, _) = refusal(&chain_with(&[KeyUsagePurpose::CrlSign]), &server);
    let expected = "certificate 2 of the client's chain is of a CA that may not sign certificates";
    assert!(reason.starts_with(expected), "{reason}");
    for usages in [&[][..], &[KeyUsagePurpose::KeyCertSign]] {
        assert!(handshake(&chain_with(usages).credentials(), &server).is_ok());
    }
}

#[test]
fn a_client_takes_no_server_of_an_intermediate_that_may_not_sign_certificates() {
    let authority = Authority::generate_root("root", 1, Validity::days(30)).unwrap();
    let side = client_of(&authority, "alice");
    let anchors = trusted_cas(&side.credentials(), &mut TrackedFiles::default())
        .unwrap()
        .anchors;
    let servers = ServerVerifier::new(anchors, provider()).unwrap();
    let judge = |usages: &[KeyUsagePurpose]| {
        let mut chain = Chain::new(&authority);
        chain.intermediate.key_usages = usages.to_vec();
        chain.leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        chain.leaf.subject_alt_names.push(dns("localhost"));
        let chain = chain_of(&chain.client());
        let (own, others) = chain.split_first().unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let now = unix_time(SystemTime::now());
        servers
            .verify_server_cert(own, others, &name, &[], now)
            .map(drop)
            .map_err(|error| error.to_string())
    };
    assert_eq!(judge(&[KeyUsagePurpose::KeyCertSign]), Ok(()));
    let told = judge(&[KeyUsagePurpose::CrlSign]).unwrap_err();
    assert!(told.contains("CA that may not sign certificates"), "{told}");
}

fn below_example_org() -> NameConstraints {
    NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("example.org".to_owned())],
        excluded_subtrees: Vec::new(),
    }
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

#[test]
fn what_is_wrong_with_a_certificate_is_told_with_what_to_do() {
    let authority = Authority::generate_root("root", 1, Validity::days(30)).unwrap();
    let server = read_server(&server_of(&authority).credentials(), &[]).unwrap();
    type Change = fn(&mut Chain<'_>);
    let cases: [(Change, &str); 4] = [
        (
            |chain| chain.leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            "is a CA's own (basic constraint CA:TRUE): have one issued",
        ),
        (
            |chain| chain.intermediate.is_ca = IsCa::ExplicitNoCa,
            "was signed with a certificate that is not a CA's (no basic constraint CA:TRUE): have it",
        ),
        (
            |chain| {
                let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
                extension.set_criticality(true);
                chain.leaf.custom_extensions.push(extension);
            },
            "has a critical extension that is not known here: have it issued anew",
        ),
        (
            |chain| {
                chain.leaf.subject_alt_names.push(dns("a.net"));
                chain.intermediate.name_constraints = Some(below_example_org());
            },
            "has a name that the name constraints of a CA above it do not permit: have it",
        ),
    ];
    for (change, expected) in cases {
        let mut chain = Chain::new(&authority);
        change(&mut chain);
        let client = chain.client();
        let (reason, code) = refusal(&client, &server);
        let expected = format!("the client's certificate, or one in its chain, {expected}");
        assert!(reason.starts_with(&expected), "{reason}");
        assert_eq!(code, None);
        // Where it is one's own, it is told when the file is read.
        if reason.contains("critical") {
            let of_client = client_config(&client.credentials()).unwrap_err();
            let of_server = read_server(&client.credentials(), &[]).unwrap_err();
            for fault in [of_client, of_server] {
                let fault = fault.to_string();
                let expected = "own.crt: the certificate has a critical extension";
                assert!(fault.contains(expected), "{fault}");
            }
        }
    }
}

#[test]
fn a_certificate_of_version_1_is_told_by_its_version() {
    let authority = authority();
    let side = server_of(&authority);
    side.with("ca.crt", V1_ROOT);
    let server = read_server(&side.credentials(), &[]).unwrap();
    let chain = [CertificateDer::from_pem_slice(V1_ISSUED.as_bytes()).unwrap()];
    let refusal = server
        .clients
        .verify(&chain, SystemTime::now())
        .unwrap_err();
    let expected = "is of X.509 version 1, which cannot state any use: have it issued anew";
    assert!(refusal.to_string().contains(expected), "{refusal}");
}

/// As `docs/security.md` says: the common name, URIs and e-mail addresses are free.
#[test]
fn name_constraints_bind_dns_names_and_not_the_common_name() {
    let authority = Authority::generate_root("root", 1, Validity::days(30)).unwrap();
    let server = read_server(&server_of(&authority).credentials(), &[]).unwrap();
    let client = |names: Vec<SanType>| {
        let mut chain = Chain::new(&authority);
        chain.intermediate.name_constraints = Some(below_example_org());
        chain.leaf.subject_alt_names = names;
        chain.client()
    };
    let identity = |client: &Side, source| {
        handshake(&client.credentials(), &server).unwrap();
        identity_of(&chain_of(client)[0], source)
            .unwrap()
            .to_string()
    };
    let bound = client(vec![dns("a.example.org")]);
    assert_eq!(identity(&bound, IdentitySource::SanDns), "a.example.org");
    assert_eq!(identity(&bound, IdentitySource::CommonName), "alice");
    let free = client(vec![SanType::URI("urn:a".try_into().unwrap())]);
    assert_eq!(identity(&free, IdentitySource::SanUri), "urn:a");
    let (reason, _) = refusal(&client(vec![dns("a.net")]), &server);
    assert!(reason.contains("name constraints"), "{reason}");
}

#[derive(Debug)]
struct WithKeyOfAnother(Arc<CertifiedKey>);

impl ResolvesClientCert for WithKeyOfAnother {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[test]
fn whoever_does_not_hold_the_key_is_told_so() {
    let authority = authority();
    let server = read_server(&server_of(&authority).credentials(), &[]).unwrap();
    let (alice, thief) = (
        client_of(&authority, "alice"),
        client_of(&authority, "thief"),
    );
    let sources = &mut TrackedFiles::default();
    let key = read_key(&thief.credentials().key, true, sources).unwrap();
    let key = provider().key_provider.load_private_key(key).unwrap();
    let client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(TlsVersion::V1_3.and_newer())
        .unwrap()
        .with_root_certificates(root_store(
            &trusted_cas(&alice.credentials(), sources).unwrap().anchors,
        ))
        .with_client_cert_resolver(Arc::new(WithKeyOfAnother(Arc::new(CertifiedKey::new(
            chain_of(&alice),
            key,
        )))));
    let reason = tls_refusal(&shake_hands(client, &server).unwrap_err());
    let expected = "did not prove that it holds the key of its certificate";
    assert!(reason.contains(expected), "{reason}");
}

#[test]
fn a_clock_before_1970_is_blamed_for_what_comes_of_it() {
    let authority = authority();
    let server = read_server(&server_of(&authority).credentials(), &[]).unwrap();
    let chain = chain_of(&client_of(&authority, "alice"));
    let judge = |now| server.clients.verify(&chain, now).unwrap_err().to_string();
    let blame = "this machine's clock stands before 1970, set it";
    let told = judge(UNIX_EPOCH - Duration::from_secs(1));
    assert!(told.ends_with(blame), "{told}");
    let told = judge(UNIX_EPOCH + Duration::from_secs(1));
    assert!(
        told.contains("not valid before 20") && !told.contains(blame),
        "{told}"
    );
}

/// Of a kind that TLS knows and aws-lc-rs does not.
const ED448_KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MEcCAQAwBQYDK2VxBDsEOQmqtdCvTWd4svm5aFcujqzclbpHsCxESghDQBIfSRq7
Gw+mG0sbrqu8UWBihqejYT82w5YOT76BsQ==
-----END PRIVATE KEY-----
";

#[test]
fn a_key_that_cannot_be_used_is_told_with_what_to_do() {
    let authority = authority();
    let side = server_of(&authority);
    let encrypted = |label: &str, headers: &str| {
        format!("-----BEGIN {label}-----\n{headers}MEcCAQAw\n-----END {label}-----\n")
    };
    let decrypt = "is encrypted, and nobody is there to type its password: decrypt it with `openssl pkey -in FILE";
    for (key, expected) in [
        (encrypted("ENCRYPTED PRIVATE KEY", ""), decrypt),
        (
            encrypted(
                "EC PRIVATE KEY",
                "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n",
            ),
            decrypt,
        ),
        (
            ED448_KEY.to_owned(),
            "of a kind that is not accepted (ECDSA on P-256, P-384 or P-521, Ed25519, and RSA of 2048 to 8192 bits are accepted); create another",
        ),
    ] {
        side.with("own.key", key);
        let of_server = read_server(&side.credentials(), &[]).unwrap_err();
        let of_client = client_config(&side.credentials()).unwrap_err();
        for fault in [of_server, of_client] {
            let fault = fault.to_string();
            assert!(
                fault.contains(expected) && fault.contains("own.key"),
                "{fault}"
            );
        }
    }
}

#[test]
fn an_own_certificate_with_a_garbled_extension_is_refused() {
    let authority = Authority::generate_root("root", 1, Validity::days(30)).unwrap();
    let mut chain = Chain::new(&authority);
    let alternative_names = CustomExtension::from_oid_content(&[2, 5, 29, 17], vec![0x30, 0x7f]);
    chain.leaf.custom_extensions.push(alternative_names);
    let fault = client_config(&chain.client().credentials()).unwrap_err();
    assert!(
        fault.to_string().contains("an extension that is garbled"),
        "{fault}"
    );
}
