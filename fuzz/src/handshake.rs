//! TLS records into the handshake of the server.

use std::{
    io::{self, Read, Write},
    sync::{Arc, LazyLock},
    time::SystemTime,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConnection, SignatureScheme,
    client::{ResolvesClientCert, Resumption},
    crypto::aws_lc_rs::{default_provider, kx_group::X25519, sign::any_supported_type},
    pki_types::{CertificateDer, ServerName},
    server::Acceptor,
    sign::{CertifiedKey, SigningKey},
    version::{TLS12, TLS13},
};
use tidings::tls::{refusal_code, tls_refusal};

use crate::{
    certificate_authority::world,
    certificates,
    oracle::{check_bounded_message, take_byte},
};

/// Flights of a client: three are enough for any handshake.
const FLIGHTS_MAX: usize = 6;

/// Bytes that the server may have to say to a client that is not let in: its own certificate, the
/// names of the CAs, alerts.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Bytes of one change: flight, place (two), kind, value.
const EDIT_BYTES: usize = 5;

/// The first byte chooses what the rest is: records, changes to those of a real client, or the
/// certificates that one shows. The second is how many bytes come at once.
pub fn run(mut input: &[u8]) {
    let mode = take_byte(&mut input) % 4;
    let chunk_bytes = match take_byte(&mut input) {
        0 => usize::MAX,
        bytes => bytes.into(),
    };
    let mut server = Server::new(chunk_bytes);
    match mode {
        0 => {
            server.take(input);
            assert!(!server.has_let_in(), "in without a key");
        }
        1 | 2 => {
            let client = client(mode == 2, Shown::alice());
            converse(client, &mut server, |flight, bytes| edit(input, flight, bytes));
        }
        _ => {
            let signed = take_byte(&mut input);
            let chain = certificates::chain(signed, input);
            let client = client(false, Shown { chain, ..Shown::alice() });
            converse(client, &mut server, |_, _| ());
        }
    }
    server.check();
}

/// The server's side as its connections drive it: a ClientHello first, then the rest.
struct Server {
    acceptor: Acceptor,
    connection: Option<ServerConnection>,
    chunk_bytes: usize,
    said: Vec<u8>,
    is_over: bool,
}

impl Server {
    fn new(chunk_bytes: usize) -> Self {
        Self {
            acceptor: Acceptor::default(),
            connection: None,
            chunk_bytes,
            said: Vec::new(),
            is_over: false,
        }
    }

    fn has_let_in(&self) -> bool {
        let mut connection = self.connection.iter();
        connection.any(|connection| !connection.is_handshaking())
    }

    fn take(&mut self, bytes: &[u8]) {
        for mut chunk in bytes.chunks(self.chunk_bytes.min(bytes.len().max(1))) {
            while !chunk.is_empty() && !self.is_over {
                if let Err(error) = self.take_some(&mut chunk) {
                    check_bounded_message(&tls_refusal(&error));
                    assert!(refusal_code(&error).is_none_or(|code| !code.as_str().is_empty()));
                    self.is_over = true;
                }
            }
        }
    }

    fn take_some(&mut self, chunk: &mut &[u8]) -> io::Result<()> {
        let of_tls = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let Some(connection) = &mut self.connection else {
            self.acceptor.read_tls(chunk)?;
            let accepted = self.acceptor.accept().map_err(|(error, mut alert)| {
                // Sent or not, it is written.
                alert.write_all(&mut self.said).map_or_else(|error| error, |()| of_tls(error))
            })?;
            if let Some(accepted) = accepted {
                let config = Arc::clone(&world().tls.config);
                let connection = accepted.into_connection(config).map_err(|(error, _)| of_tls(error))?;
                self.connection = Some(connection);
                self.speak()?;
            }
            return Ok(());
        };
        connection.read_tls(chunk)?;
        let processed = connection.process_new_packets();
        let mut plain = Vec::new();
        // Nothing has come, or the end has: both are none of this target's.
        let _ = connection.reader().read_to_end(&mut plain);
        self.speak()?;
        processed.map(drop).map_err(of_tls)
    }

    fn speak(&mut self) -> io::Result<()> {
        if let Some(connection) = &mut self.connection {
            while connection.wants_write() {
                connection.write_tls(&mut self.said)?;
            }
        }
        Ok(())
    }

    /// Whoever is in has shown certificates that the verifier takes.
    fn check(&self) {
        assert!(self.said.len() <= ANSWER_BYTES_MAX, "{} bytes", self.said.len());
        let Some(connection) = self.connection.as_ref().filter(|_| self.has_let_in()) else {
            return;
        };
        let chain = connection.peer_certificates().unwrap_or_default();
        assert_eq!(world().tls.clients.verify(chain, SystemTime::now()), Ok(()));
    }
}

/// Client and server speak until neither has anything to say.
fn converse(
    mut client: ClientConnection,
    server: &mut Server,
    mut change: impl FnMut(usize, &mut Vec<u8>),
) {
    client.writer().write_all(b"{}\n").expect("room for a line");
    let mut heard = 0;
    for flight in 0..FLIGHTS_MAX {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).expect("memory takes all");
        }
        change(flight, &mut bytes);
        server.take(&bytes);
        let mut answer = &server.said[heard..];
        heard = server.said.len();
        while !answer.is_empty() {
            if client.read_tls(&mut answer).is_err() || client.process_new_packets().is_err() {
                return;
            }
        }
    }
}

/// Carries out those of the changes that are for this flight.
fn edit(changes: &[u8], flight: usize, bytes: &mut Vec<u8>) {
    for change in changes.chunks_exact(EDIT_BYTES) {
        let &[to, high, low, kind, value] = change else { continue };
        if usize::from(to) % 3 != flight || bytes.is_empty() {
            continue;
        }
        let place = usize::from(u16::from_be_bytes([high, low])) % bytes.len();
        match kind % 6 {
            0 => bytes[place] = value,
            1 => bytes[place] ^= 1 << (value % 8),
            2 => bytes.insert(place, value),
            3 => bytes.truncate(place),
            4 => drop(bytes.drain(place..bytes.len().min(place + usize::from(value)))),
            _ => {
                let end = bytes.len().min(place + usize::from(value));
                bytes.extend_from_within(place..end);
            }
        }
    }
}

/// What a client shows for itself: any certificates, and a signature by alice's key.
#[derive(Clone, Debug)]
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
}

impl Shown {
    fn alice() -> Self {
        static ALICE: LazyLock<Shown> = LazyLock::new(|| Shown {
            chain: world().chain("alice"),
            key: any_supported_type(&world().private_key("alice")).expect("a key"),
        });
        ALICE.clone()
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let certified = CertifiedKey::new(self.chain.clone(), Arc::clone(&self.key));
        Some(Arc::new(certified))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn client(is_old: bool, shown: Shown) -> ClientConnection {
    let mut provider = default_provider();
    provider.kx_groups = vec![X25519];
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(world().chain("ca"));
    let version = if is_old { &TLS12 } else { &TLS13 };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .expect("versions")
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(shown));
    config.resumption = Resumption::disabled();
    let name = ServerName::try_from("localhost").expect("a name");
    ClientConnection::new(Arc::new(config), name).expect("a client")
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut hello = Vec::new();
    for is_old in [false, true] {
        let mut client = client(is_old, Shown::alice());
        let mut bytes = vec![0, 0];
        client.write_tls(&mut bytes).expect("memory takes all");
        hello.push(bytes);
    }
    let others: [&[u8]; 9] = [
        b"\0\x01GET / HTTP/1.1\r\n\r\n",
        b"\0\0\x15\x03\x01\0\x02\x02\x28",
        b"\x01\0",
        b"\x01\x07",
        b"\x02\0",
        b"\x01\0\0\0\x09\0\x02",
        b"\x02\0\x01\0\x20\x01\x07",
        b"\x02\x10\x01\x01\0\x05\xff",
        b"\x01\0\x01\0\0\x04\x06",
    ];
    let shown = certificates::seeds().into_iter().map(|seed| [b"\x03\0", seed.as_slice()].concat());
    hello.into_iter().chain(others.map(<[u8]>::to_vec)).chain(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_is_left_as_it_is_gets_in() {
        for is_old in [false, true] {
            let mut server = Server::new(7);
            converse(client(is_old, Shown::alice()), &mut server, |_, _| ());
            assert!(server.has_let_in());
            server.check();
        }
    }
}
