//! The one reader of PEM files: certificates, private keys, revocation lists.
//!
//! Owns what such a file may hold, and that all of it counts. A block that cannot be used makes the
//! whole file invalid, and the error names its line: nobody runs with less than the file holds. Text
//! around blocks is skipped, unless it could be meant as the edge of a block.

use std::{fmt, str};

use memchr::memmem;
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem::PemObject,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::text::escaped;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const EDGE: &[u8] = b"-----";

/// Most characters of a label that an error quotes.
const LABEL_CHARS_MAX: usize = 40;

/// Why a PEM file is rejected: the problem, its line, the remedy.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PemError {
    /// No block of the kind that is needed.
    #[error("it holds no {what}: it must be PEM, with a BEGIN {label} line")]
    Nothing {
        what: &'static str,
        label: &'static str,
    },
    /// The same, in a file that is not text.
    #[error(
        "it is binary, most likely DER or PKCS #12, and not PEM: convert it first, from DER with `openssl x509 -inform der -in FILE -out NEWFILE` (`openssl pkey` for a key)"
    )]
    Binary,
    #[error("it is written in UTF-16: save it as ASCII or UTF-8")]
    Utf16,
    #[error(
        "the block that begins in line {0} is garbled or cut off: put a whole PEM file in its place"
    )]
    Garbled(usize),
    #[error(
        "line {0} looks like the edge of a PEM block and is none: a block is between \"-----BEGIN LABEL-----\" and \"-----END LABEL-----\", each at the start of its line and with five hyphens on both sides"
    )]
    StrayEdge(usize),
    /// A block of another kind, which would be ignored.
    #[error(
        "line {line} begins a block \"{label}\", which is not accepted here: {}",
        remedy(label)
    )]
    Foreign {
        line: usize,
        /// Escaped and shortened.
        label: String,
    },
    #[error(
        "the private key in line {0} is encrypted, and nobody is there to type its password: decrypt it with `openssl pkey -in FILE -out NEWFILE`"
    )]
    EncryptedKey(usize),
    #[error("line {0} begins a second private key, and only one can be used: take the other out")]
    SecondKey(usize),
}

fn remedy(label: &str) -> &'static str {
    match label {
        "TRUSTED CERTIFICATE" => "`openssl x509 -in FILE` writes it as a plain CERTIFICATE",
        "PKCS7" | "PKCS #7 SIGNED DATA" | "CMS" => {
            "`openssl pkcs7 -print_certs -in FILE` writes its certificates one by one"
        }
        "X509 CRL" => "a revocation list is given with --crl",
        _ => "take it out",
    }
}

/// What a block holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Certificate,
    Crl,
    Key,
    EncryptedKey,
    /// Of a key or a key exchange. The key includes them.
    Parameters,
    Foreign,
}

/// A block, from its BEGIN line to its END line.
pub(crate) struct Block<'a> {
    label: &'a [u8],
    line: usize,
    body: &'a [u8],
}

impl fmt::Debug for Block<'_> {
    /// Without the body: it may be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block")
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

/// All certificates of a file, in their order: at least one. Keys are skipped, since one file often
/// holds both.
pub(crate) fn certificates(file: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    certificate_blocks(file)?
        .iter()
        .map(Block::certificate)
        .collect()
}

/// The same, as blocks of the file.
pub(crate) fn certificate_blocks(file: &[u8]) -> Result<Vec<Block<'_>>, PemError> {
    let mut certificates = Vec::new();
    for block in blocks(file)? {
        match block.kind() {
            Kind::Certificate => certificates.push(block),
            Kind::Key | Kind::EncryptedKey | Kind::Parameters => {}
            Kind::Crl | Kind::Foreign => return Err(block.foreign()),
        }
    }
    if certificates.is_empty() {
        return Err(nothing("certificate", "CERTIFICATE", file));
    }
    Ok(certificates)
}

/// The one private key of a file. Certificates are skipped.
pub(crate) fn private_key(file: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    let mut key = None;
    for block in blocks(file)? {
        match block.kind() {
            Kind::Key if block.is_encrypted() => return Err(PemError::EncryptedKey(block.line)),
            Kind::EncryptedKey => return Err(PemError::EncryptedKey(block.line)),
            Kind::Key if key.is_some() => return Err(PemError::SecondKey(block.line)),
            Kind::Key => key = Some(block.decoded()?),
            Kind::Certificate | Kind::Parameters => {}
            Kind::Crl | Kind::Foreign => return Err(block.foreign()),
        }
    }
    key.ok_or_else(|| nothing("private key", "PRIVATE KEY", file))
}

/// The contents of a file of revocation lists (CRLs).
#[derive(Debug)]
pub(crate) struct CrlFile {
    /// At least one, unless there are certificates.
    pub(crate) crls: Vec<CertificateRevocationListDer<'static>>,
    /// Of the CAs that signed them.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
}

/// All revocation lists of a file, and the certificates of their issuers; or one list as DER.
pub(crate) fn crls(file: &[u8]) -> Result<CrlFile, PemError> {
    if is_der(file) {
        return Ok(CrlFile {
            crls: vec![CertificateRevocationListDer::from(file.to_vec())],
            certificates: Vec::new(),
        });
    }
    let (mut crls, mut certificates) = (Vec::new(), Vec::new());
    for block in blocks(file)? {
        match block.kind() {
            Kind::Crl => crls.push(block.decoded()?),
            Kind::Certificate => certificates.push(block.certificate()?),
            _ => return Err(block.foreign()),
        }
    }
    if crls.is_empty() && certificates.is_empty() {
        return Err(nothing("revocation list", "X509 CRL", file));
    }
    Ok(CrlFile { crls, certificates })
}

impl Block<'_> {
    fn kind(&self) -> Kind {
        match self.label {
            b"CERTIFICATE" | b"X509 CERTIFICATE" => Kind::Certificate,
            b"X509 CRL" => Kind::Crl,
            b"PRIVATE KEY" | b"RSA PRIVATE KEY" | b"EC PRIVATE KEY" => Kind::Key,
            b"ENCRYPTED PRIVATE KEY" => Kind::EncryptedKey,
            b"EC PARAMETERS" | b"DH PARAMETERS" => Kind::Parameters,
            _ => Kind::Foreign,
        }
    }

    /// Whether it is a key encrypted in the traditional way of OpenSSL, with headers in the block.
    fn is_encrypted(&self) -> bool {
        memmem::find(self.body, b"ENCRYPTED").is_some()
            && memmem::find(self.body, b"Proc-Type:").is_some()
    }

    fn foreign(&self) -> PemError {
        let label = String::from_utf8_lossy(self.label);
        let label: String = label.chars().take(LABEL_CHARS_MAX).collect();
        PemError::Foreign {
            line: self.line,
            label: escaped(&label),
        }
    }

    pub(crate) fn certificate(&self) -> Result<CertificateDer<'static>, PemError> {
        let der: CertificateDer<'static> = self.decoded()?;
        match X509Certificate::from_der(&der) {
            Ok(([], _)) => Ok(der),
            // A second certificate in the same block would be ignored.
            _ => Err(PemError::Garbled(self.line)),
        }
    }

    /// Decodes with the parser of rustls, which handles secrets in constant time.
    fn decoded<T: PemObject>(&self) -> Result<T, PemError> {
        T::from_pem_slice(self.text().as_bytes()).map_err(|_| PemError::Garbled(self.line))
    }

    /// The block in the standard form.
    pub(crate) fn text(&self) -> String {
        let label = match self.kind() {
            Kind::Certificate => "CERTIFICATE".into(),
            _ => String::from_utf8_lossy(self.label),
        };
        let body = String::from_utf8_lossy(self.body);
        let lines: Vec<&str> = body.split_ascii_whitespace().collect();
        format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            lines.join("\n")
        )
    }
}

fn nothing(what: &'static str, label: &'static str, file: &[u8]) -> PemError {
    if is_der(file) || str::from_utf8(file).is_err() {
        PemError::Binary
    } else {
        PemError::Nothing { what, label }
    }
}

/// Whether it begins as all of X.509 does in DER: with a sequence.
fn is_der(file: &[u8]) -> bool {
    matches!(file, [0x30, 0x80..=0x84, ..])
}

fn blocks(file: &[u8]) -> Result<Vec<Block<'_>>, PemError> {
    if file.starts_with(b"\xff\xfe") || file.starts_with(b"\xfe\xff") {
        return Err(PemError::Utf16);
    }
    let mut reader = Reader {
        rest: file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file),
        line: 1,
        is_at_line_start: true,
    };
    let mut blocks = Vec::new();
    while !reader.rest.is_empty() {
        match reader.block()? {
            Some(block) => blocks.push(block),
            None => reader.skip_line()?,
        }
    }
    Ok(blocks)
}

/// Reads a file from start to end, and counts lines.
struct Reader<'a> {
    rest: &'a [u8],
    line: usize,
    is_at_line_start: bool,
}

impl<'a> Reader<'a> {
    /// The block that begins here: at the start of a line, or right after another block.
    fn block(&mut self) -> Result<Option<Block<'a>>, PemError> {
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let indent = self.rest.iter().take_while(|byte| is_blank(byte)).count();
        if !self
            .rest
            .get(indent..)
            .is_some_and(|rest| rest.starts_with(BEGIN))
        {
            return Ok(None);
        }
        self.pass(indent + BEGIN.len());
        let line = self.line;
        let label = self.pass_to_edge().ok_or(PemError::StrayEdge(line))?;
        if label.iter().any(is_line_end) {
            return Err(PemError::StrayEdge(line));
        }
        self.pass(EDGE.len());
        let body = self.pass_to_edge().ok_or(PemError::Garbled(line))?;
        let end = [END, label, EDGE].concat();
        if !self.rest.starts_with(&end) {
            return Err(PemError::Garbled(line));
        }
        self.pass(end.len());
        Ok(Some(Block { label, line, body }))
    }

    fn pass_to_edge(&mut self) -> Option<&'a [u8]> {
        memmem::find(self.rest, EDGE).map(|length| self.pass(length))
    }

    /// Skips the rest of a line of text.
    fn skip_line(&mut self) -> Result<(), PemError> {
        let (line, is_whole) = (self.line, self.is_at_line_start);
        let length = self
            .rest
            .iter()
            .take_while(|byte| !is_line_end(byte))
            .count();
        let text = self.pass(length);
        let is_comment = is_whole && text.trim_ascii_start().starts_with(b"#");
        if !is_comment && could_be_edge(text) {
            return Err(PemError::StrayEdge(line));
        }
        self.pass(1);
        Ok(())
    }

    fn pass(&mut self, length: usize) -> &'a [u8] {
        let (passed, rest) = self.rest.split_at(length.min(self.rest.len()));
        // A line ends with CR, LF or CRLF.
        let breaks = |at: &usize| match passed[*at] {
            b'\n' => true,
            b'\r' => self.rest.get(at + 1) != Some(&b'\n'),
            _ => false,
        };
        self.line += (0..passed.len()).filter(breaks).count();
        self.is_at_line_start = passed.last().is_some_and(is_line_end);
        self.rest = rest;
        passed
    }
}

const fn is_line_end(byte: &u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// Whether this line may be meant to begin or end a block. Word processors turn several hyphens into
/// one long dash.
fn could_be_edge(line: &[u8]) -> bool {
    let line = String::from_utf8_lossy(line).to_ascii_uppercase();
    let is_dash = |c: &char| matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}');
    ["BEGIN", "END"].iter().any(|word| {
        line.match_indices(word).any(|(at, _)| {
            let before = line[..at].trim_end();
            before.chars().rev().take_while(is_dash).take(3).count() == 3
        })
    })
}

#[cfg(test)]
#[cfg(feature = "broker")]
mod tests;
