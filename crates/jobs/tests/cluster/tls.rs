//! Encrypted connections to PostgreSQL, whose certificate is checked as the URL says.

use crate::server::Server;
use easel_jobs::{Cluster, PostgresStore, Store};
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// A certificate for `localhost` and 127.0.0.1, or its key.
fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../native-host/tests/tls").join(name)
}

#[test]
fn the_certificate_is_checked_where_the_url_asks_for_it() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let server = Server::with_tls(&file("first.cert.pem"), &file("first.key.pem"), port);
    let Some(server) = server else { return };
    let name = server.make_database();
    let pictures = TempDir::new().unwrap();
    let open = |host: &str, mode: &str, root: &str| {
        let root = file(root);
        let database = format!("postgres://easel@{host}:{port}/{name}?sslmode={mode}&sslrootcert={}", root.display());
        let pictures = format!("file://{}", pictures.path().display());
        PostgresStore::open(&Cluster { database, pictures, lease: Duration::from_secs(30) })
    };
    let store = open("localhost", "verify-full", "first.cert.pem").unwrap();
    store.counts().unwrap();
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                     WHERE application_name = 'easel'";
    assert_eq!(server.sql(&name, encrypted), "t", "every connection");

    for (host, root, why) in
        [("localhost", "second.cert.pem", "another certificate"), ("127.0.0.2", "first.cert.pem", "another name")]
    {
        let refused = open(host, "verify-full", root).err().unwrap_or_else(|| panic!("{why} was accepted")).to_string();
        assert!(refused.starts_with("store: ") && refused.contains("certificate"), "{why}: {refused}");
    }
    open("127.0.0.2", "verify-ca", "first.cert.pem").unwrap();
}
