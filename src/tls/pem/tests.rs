use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};

use super::*;

/// A certificate, its key, and both as DER.
struct Pair {
    certificate: String,
    key: String,
    der: Vec<u8>,
    key_der: Vec<u8>,
}

fn pair() -> Pair {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let certificate = CertificateParams::default().self_signed(&key).unwrap();
    Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
        der: certificate.der().to_vec(),
        key_der: key.serialize_der(),
    }
}

#[test]
fn every_block_counts_however_it_is_written() {
    let (one, two) = (pair(), pair());
    let ders = [one.der.as_slice(), &two.der];
    let both = one.certificate.clone() + &two.certificate;
    let indented: Vec<String> = both.lines().map(|line| format!("\t  {line}  ")).collect();
    let forms = [
        ("as it should be", both.clone()),
        (
            "joined without a newline",
            one.certificate.trim_end().to_owned() + two.certificate.trim_end(),
        ),
        (
            "joined with a blank",
            format!("{} {}", one.certificate.trim_end(), two.certificate),
        ),
        ("a byte order mark", format!("\u{feff}{both}")),
        ("indented", indented.join("\n")),
        ("CRLF", both.replace('\n', "\r\n")),
        ("CR", both.replace('\n', "\r")),
        ("blank lines", both.replace('\n', "\n\n")),
        (
            "the old label",
            both.replace("CERTIFICATE", "X509 CERTIFICATE"),
        ),
        (
            "all in one line",
            both.replace('\n', " ")
                .replace("END CERTIFICATE----- ", "END CERTIFICATE-----\n"),
        ),
        (
            "text around, with an end and a beginning",
            format!(
                "# --- Begin of our CAs\nsubject=CN = a\n{both}the end\n- end\n# -----END X-----"
            ),
        ),
        (
            "one that is commented out",
            format!(
                "{both}# {}",
                two.certificate.trim_end().replace('\n', "\n# ")
            ),
        ),
        (
            "with its key and parameters",
            format!(
                "{}{}-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{}",
                one.key, one.certificate, two.certificate
            ),
        ),
    ];
    for (form, text) in forms {
        let read = certificates(text.as_bytes()).unwrap_or_else(|fault| panic!("{form}: {fault}"));
        let read: Vec<&[u8]> = read.iter().map(AsRef::as_ref).collect();
        assert_eq!(read, ders, "{form}");
    }
}

#[test]
fn what_would_be_lost_refuses_the_file_by_line() {
    let (one, two) = (pair(), pair());
    let lines = one.certificate.lines().count();
    let behind = |second: &str| format!("{}{second}", one.certificate);
    let labelled = |label: &str| behind(&two.certificate.replace("CERTIFICATE", label));
    let of_both: Vec<u8> = [one.der.as_slice(), &two.der].concat();
    let in_one_block = "-----BEGIN CERTIFICATE-----\n".to_owned()
        + &base64_of(&of_both)
        + "\n-----END CERTIFICATE-----\n";
    let cut = two.certificate.trim_end().len() - 10;
    let cases = [
        (labelled("TRUSTED CERTIFICATE"), "openssl x509"),
        (labelled("PKCS7"), "openssl pkcs7"),
        (labelled("X509 CRL"), "--crl"),
        (labelled("CERTIFICATE REQUEST"), "take it out"),
        (labelled("certificate"), "\"certificate\""),
        (labelled("\u{1b}[31m\u{202e}"), r#""\u{1b}[31m\u{202e}""#),
        (behind(&two.certificate[1..]), "edge of a PEM block"),
        (
            behind(&two.certificate.to_lowercase()),
            "edge of a PEM block",
        ),
        (
            behind(&two.certificate.replace("-----", "\u{2014}\u{2014}-")),
            "edge of a PEM block",
        ),
        (
            behind(&two.certificate.replacen("-----\n", "----\n", 1)),
            "edge of a PEM block",
        ),
        (
            behind(&format!("x{}", two.certificate)),
            "edge of a PEM block",
        ),
        (
            behind(&two.certificate.replace("-----BEGIN ", "----- BEGIN ")),
            "edge of a PEM block",
        ),
        (behind("-----END CERTIFICATE-----\n"), "edge of a PEM block"),
        (behind(&two.certificate[..cut]), "garbled or cut off"),
        (
            behind(&two.certificate.replace("END CERTIFICATE", "END X")),
            "garbled or cut off",
        ),
        (
            behind(&two.certificate.replacen('M', "*", 1)),
            "garbled or cut off",
        ),
        (behind(&in_one_block), "garbled or cut off"),
        (
            behind("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"),
            "garbled or cut off",
        ),
    ];
    for (text, expected) in cases {
        let fault = certificates(text.as_bytes()).unwrap_err().to_string();
        assert!(fault.contains(expected), "{expected}: {fault}\n{text}");
        assert!(
            fault.contains(&format!("line {}", lines + 1)),
            "{expected}: {fault}"
        );
        assert!(!fault.contains('\n'), "{fault}");
    }
    // All three ways to end a line count as one line each.
    for end in ["\n", "\r\n", "\r"] {
        let text = labelled("PKCS7").replace('\n', end);
        let fault = certificates(text.as_bytes()).unwrap_err().to_string();
        assert!(
            fault.starts_with(&format!("line {} ", lines + 1)),
            "{fault}"
        );
    }
}

#[test]
fn what_is_no_pem_is_told_so() {
    let pair = pair();
    let mut utf16 = vec![0xff, 0xfe];
    utf16.extend(pair.certificate.encode_utf16().flat_map(u16::to_le_bytes));
    let told = |file: &[u8]| certificates(file).unwrap_err().to_string();
    assert!(told(&pair.der).contains("-inform der"));
    assert!(told(b"\x00\xff\x00").contains("binary"));
    assert!(told(&utf16).contains("UTF-16"));
    for file in [&b""[..], b"garbage", pair.key.as_bytes()] {
        assert!(
            told(file).contains("holds no certificate"),
            "{}",
            told(file)
        );
    }
    let told = private_key(&pair.key_der).unwrap_err().to_string();
    assert!(told.contains("openssl pkey"), "{told}");
    let told = private_key(pair.certificate.as_bytes()).unwrap_err();
    assert!(told.to_string().contains("holds no private key"), "{told}");
}

#[test]
fn a_key_is_taken_from_among_what_stands_beside_it_if_it_is_the_only_one() {
    let (one, two) = (pair(), pair());
    let parameters =
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let key_of = |text: &str| private_key(text.as_bytes()).map(|key| key.secret_der().to_vec());
    for text in [
        one.key.clone(),
        format!("\u{feff}{parameters}{}", one.key),
        one.certificate.clone() + one.key.trim_end() + &two.certificate,
    ] {
        assert_eq!(key_of(&text).unwrap(), one.key_der);
    }
    let second = key_of(&(one.key.clone() + &two.key)).unwrap_err();
    assert!(
        second.to_string().contains("second private key"),
        "{second}"
    );

    let encrypted = one.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let of_old = one.key.replace("PRIVATE KEY", "RSA PRIVATE KEY").replacen(
        "-----\n",
        "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n",
        1,
    );
    for text in [encrypted, of_old] {
        let fault = key_of(&(one.certificate.clone() + &text))
            .unwrap_err()
            .to_string();
        assert!(
            fault.contains("is encrypted") && fault.contains("openssl pkey"),
            "{fault}"
        );
        assert_eq!(
            certificates((one.certificate.clone() + &text).as_bytes())
                .unwrap()
                .len(),
            1
        );
    }
    let fault = key_of(&one.key.replace("PRIVATE", "OPENSSH PRIVATE")).unwrap_err();
    assert!(
        fault.to_string().contains("\"OPENSSH PRIVATE KEY\""),
        "{fault}"
    );
}

fn base64_of(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = bytes.chunks(3).flat_map(|chunk| {
        let bits = (0..3).fold(0, |bits, at| {
            bits << 8 | u32::from(chunk.get(at).copied().unwrap_or(0))
        });
        (0..4).map(move |at| match at <= chunk.len() {
            true => char::from(ALPHABET[(bits >> (18 - 6 * at) & 0x3f) as usize]),
            false => '=',
        })
    });
    digits.collect()
}

proptest::proptest! {
    /// Whatever a file holds, it is taken whole or refused.
    #[test]
    fn no_mark_is_passed_over(
        parts in proptest::collection::vec(proptest::sample::select(vec![
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
            "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----", "-----", "----", "BEGIN ",
            "END ", "CERTIFICATE", "AAAA", "\n", "\r", " ", "# ", "\u{feff}", "x",
        ]), 0..40),
    ) {
        let text = parts.concat();
        if let Ok(blocks) = blocks(text.as_bytes()) {
            let is_comment = |line: &&str| !line.trim_start().starts_with('#');
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            let marks = text.split(['\n', '\r']).filter(is_comment).map(|line| {
                line.matches("-----BEGIN CERTIFICATE-----").count()
            });
            proptest::prop_assert_eq!(blocks.len(), marks.sum::<usize>(), "{:?}", text);
        }
    }
}
