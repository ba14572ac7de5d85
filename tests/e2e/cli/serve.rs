//! `tidings serve`: where it listens, and where its settings come from.

use std::{net::TcpListener, sync::Arc};

use crate::support::{Broker, Certificates, Client, run, serve, tidings};

#[test]
fn serve_that_cannot_listen_ends_with_69_and_names_the_address() {
    let certificates = Certificates::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    // TEST-NET-1: no machine has this address.
    for address in [taken.as_str(), "192.0.2.1:4433"] {
        let mut command = serve(&certificates);
        command.args(["--listen", address]);
        let outcome = run(command);
        assert_eq!(outcome.code, Some(69), "{outcome:#?}");
        assert_eq!(outcome.err.len(), 1, "{outcome:#?}");
        let told = format!("cannot listen on {address}");
        assert!(outcome.err[0].contains(&told), "{outcome:#?}");
    }
    drop(listener);
    let mut command = serve(&certificates);
    command.args(["--listen", &taken]);
    Broker::launch(command, &Arc::new(certificates));
}

#[test]
fn serve_takes_everything_from_the_environment_and_flags_stand_above_it() {
    let certificates = Arc::new(Certificates::new());
    let server = certificates.files("server");
    let mut command = tidings();
    command
        .arg("serve")
        .env("TIDINGS_LISTEN", "127.0.0.1:0,127.0.0.1:0")
        .env("TIDINGS_CA", certificates.ca())
        .env("TIDINGS_CERT", &server.certificate)
        .env("TIDINGS_KEY", &server.key)
        .env("TIDINGS_PING_INTERVAL", "7s")
        .env("TIDINGS_LINE_BYTES_MAX", "5000")
        .args(["--line-bytes-max", "6000"]);
    let broker = Broker::launch(command, &certificates);
    assert_eq!(broker.ready_file().unwrap().lines().count(), 2);
    let greeting = broker.dial("a").unwrap().take_greeting();
    assert_eq!(greeting.content()["limits"]["ping_interval_ms"], 7_000);
    assert_eq!(greeting.content()["limits"]["line_bytes_max"], 6_000);

    // `cli` gives the client's settings as variables alone.
    assert_eq!(
        run(broker.cli("b", &["pub", "-t", "a", "-m", "1"])).code,
        Some(0)
    );
    let named = certificates.client("named");
    let mut command = tidings();
    command
        .args(["pub", "-t", "a", "-m", "1"])
        .env("TIDINGS_SERVER", broker.address.to_string())
        .env("TIDINGS_CA", certificates.ca())
        .env("TIDINGS_CERT", named.certificate)
        .env("TIDINGS_KEY", named.key);
    assert_eq!(run(command).code, Some(0));
}

#[test]
fn ready_file_holds_the_actual_addresses_and_goes_with_the_broker() {
    let certificates = Arc::new(Certificates::new());
    let mut command = serve(&certificates);
    command.args(["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"]);
    let mut broker = Broker::launch(command, &certificates);
    let text = broker.ready_file().unwrap();
    let addresses: Vec<&str> = text.lines().collect();
    assert_eq!(addresses.len(), 2, "{text:?}");
    assert_ne!(addresses[0], addresses[1]);
    for address in addresses {
        let tls = certificates.tls("a");
        let mut client = Client::dial(address.parse().unwrap(), &tls).unwrap();
        client.take_greeting();
    }
    assert_eq!(broker.terminate().code, Some(0));
    assert_eq!(broker.ready_file(), None);
}
