//! A PostgreSQL server in a temporary folder, as an unprivileged user, for as long as this process lives.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// PostgreSQL's usual port, which is part of its socket's name.
const PORT: u16 = 5432;

/// Runs the server until this process ends, and then removes its folder: values of the process itself are not dropped.
const UNTIL_THE_END: &str = r#"
    folder=$1; shift
    trap 'kill -QUIT $server' TERM
    "$@" & server=$!
    while kill -0 $server 2>/dev/null; do wait $server; done
    rm -rf "$folder"
"#;

/// The server, reached by a socket in its folder.
pub(crate) struct Server {
    folder: PathBuf,
    programs: PathBuf,
    port: u16,
}

/// The server of this process; `None`, with the reason printed, without PostgreSQL.
pub(crate) fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let server = SERVER.get_or_init(|| programs().map(|programs| Server::start(programs, PORT, |_, _| ()))).as_ref();
    if server.is_none() {
        let reason = "skipped: there is no PostgreSQL (Debian's package postgresql)";
        assert!(std::env::var_os("EASEL_REQUIRE_POSTGRES").is_none(), "{reason}");
        // Not `println!`, whose output is captured.
        let _ = writeln!(std::io::stdout(), "{reason}");
    }
    server
}

/// The folder of PostgreSQL's programs: Debian keeps those of each version apart.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let own = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let paths = std::env::var_os("PATH").unwrap_or_default();
    own.chain(std::env::split_paths(&paths))
        .find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
}

impl Server {
    /// A server of its own with a certificate and its key, which also listens on this port of 127.0.0.1 and 127.0.0.2.
    #[allow(dead_code, reason = "only one test encrypts")]
    pub(crate) fn with_tls(certificate: &Path, key: &Path, port: u16) -> Option<Self> {
        let programs = programs()?;
        Some(Self::start(programs, port, |own, postgres| {
            // PostgreSQL refuses a key that others may read.
            for (name, from, mode) in [("server.crt", certificate, "644"), ("server.key", key, "600")] {
                let to = own.path().join(name);
                let mut install = own.as_nobody();
                install.args(["sh", "-c", "cat > \"$1\" && chmod \"$2\" \"$1\"", "sh"]).arg(&to).arg(mode);
                let copied = install.stdin(std::fs::File::open(from).unwrap()).status().unwrap();
                assert!(copied.success(), "{}", to.display());
            }
            postgres.args(["-c", "ssl=on", "-c", "listen_addresses=127.0.0.1,127.0.0.2"]);
            for (setting, name) in [("ssl_cert_file", "server.crt"), ("ssl_key_file", "server.key")] {
                postgres.arg("-c").arg(format!("{setting}={}", own.path().join(name).display()));
            }
        }))
    }

    /// Starts a server with more options.
    fn start(programs: PathBuf, port: u16, configure: impl FnOnce(&Self, &mut Command)) -> Self {
        let own = Self { folder: TempDir::new().unwrap().keep(), programs, port };
        if is_root() {
            let owned = Command::new("chown").arg("nobody").arg(own.path()).status().unwrap();
            assert!(owned.success());
        }
        let data = own.path().join("data");
        let made = own
            .as_nobody()
            .arg(own.programs.join("initdb"))
            .arg("--pgdata")
            .arg(&data)
            .args(["--username=easel", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"])
            .stdout(Stdio::null())
            .status();
        assert!(made.unwrap().success(), "initdb");
        let mut postgres = own.as_nobody();
        postgres.args(["sh", "-c", UNTIL_THE_END, "sh"]).arg(own.path());
        postgres.arg(own.programs.join("postgres")).arg("-D").arg(&data).arg("-k").arg(own.path());
        postgres.arg("-p").arg(port.to_string());
        postgres.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "jit=off", "-c", "max_connections=300"]);
        configure(&own, &mut postgres);
        postgres.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // The server ends with the thread that started it, and that thread with the process.
        thread::spawn(move || postgres.spawn().unwrap().wait());
        let began = Instant::now();
        while !own.is_ready() {
            assert!(began.elapsed() < Duration::from_secs(60), "the server does not answer");
            thread::sleep(Duration::from_millis(50));
        }
        own
    }

    fn path(&self) -> &Path {
        &self.folder
    }

    /// What starts a program as a user who owns nothing else, since PostgreSQL refuses to run as root, and ends it with this
    /// process.
    fn as_nobody(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM"]);
        if is_root() {
            command.args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]);
        }
        command.arg("--").current_dir(self.path()).env("LC_ALL", "C");
        command
    }

    fn psql(&self, database: &str) -> Command {
        let mut command = Command::new(self.programs.join("psql"));
        command.arg("-p").arg(self.port.to_string());
        command.args(["-U", "easel", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", database, "-h"]);
        command.arg(self.path());
        command
    }

    fn is_ready(&self) -> bool {
        let asked = self.psql("postgres").args(["-c", "SELECT 1"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    }

    /// A new database, by its name.
    pub(crate) fn make_database(&self) -> String {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test{}", MADE.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// What `psql` prints for a statement.
    pub(crate) fn sql(&self, database: &str, statement: &str) -> String {
        let output = self.psql(database).args(["-c", statement]).output().unwrap();
        assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The URL of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://easel@localhost/{database}?host={}", self.path().display())
    }

    /// The socket, for a proxy.
    #[allow(dead_code, reason = "not every test has a proxy")]
    pub(crate) fn socket(&self) -> PathBuf {
        self.path().join(format!(".s.PGSQL.{}", self.port))
    }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}
