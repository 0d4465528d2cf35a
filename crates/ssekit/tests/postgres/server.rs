use std::env;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};

/// A PostgreSQL server of a test's own: in a folder below the target directory, on 127.0.0.1 alone, behind a
/// password.
///
/// It is gone when this is dropped, and also when the test is killed: a shell then sees its input end, and
/// stops it.
pub(crate) struct Server {
    folder: PathBuf,
    programs: PathBuf,
    /// Whom it runs as, when the test runs as root, which PostgreSQL refuses to.
    user: Option<(u32, u32)>,
    port: u16,
    guard: Option<Child>,
}

impl Server {
    /// Makes an empty database. Nothing runs yet.
    pub(crate) fn new(name: &str) -> Self {
        let programs = programs();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", process::id()));
        fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let user = (fs::metadata(&folder).expect("a new folder").uid() == 0).then(unprivileged);
        if let Some((user, group)) = user {
            chown(&folder, Some(user), Some(group)).expect("root may give a folder away");
        }
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("our own folder");
        fs::write(folder.join("password"), PASSWORD).expect("our own folder");
        if let Some((user, group)) = user {
            chown(folder.join("password"), Some(user), Some(group)).expect("root may give a file away");
        }

        let mut server = Self { folder, programs, user, port: free_port(), guard: None };
        server.run(
            "initdb",
            &["--no-sync", "--no-locale", "--encoding=UTF8", "--auth=scram-sha-256", "--username=ssekit"],
            &["--pwfile=password", "-D", "data"],
        );
        let settings = server.folder.join("data/postgresql.conf");
        let before = fs::read_to_string(&settings).expect("initdb writes settings");
        let ours = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = ''\nfsync = off\nlog_statement = ddl\n",
            server.port
        );
        fs::write(&settings, before + &ours).expect("initdb's settings can be written");

        let stop = "cat; \"$0\" stop -D data -m immediate; rm -r data";
        let guard = server
            .command("sh")
            .arg("-c")
            .arg(stop)
            .arg(server.programs.join("pg_ctl"))
            .process_group(0)
            .spawn();
        server.guard = Some(guard.expect("a shell"));
        server
    }

    pub(crate) fn url(&self) -> String {
        self.url_by(self.port)
    }

    /// The URL for clients of another port, such as a proxy's.
    pub(crate) fn url_by(&self, port: u16) -> String {
        format!("postgres://ssekit:{PASSWORD}@127.0.0.1:{port}/postgres")
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns when it takes connections.
    pub(crate) fn start(&self) {
        self.run("pg_ctl", &["start", "-D", "data", "-w", "-t", "60"], &["-l", "log"]);
    }

    /// `fast` ends every connection and its work; `immediate` is a crash. Returns when it accepts
    /// connections.
    pub(crate) fn restart(&self, mode: &str) {
        self.run("pg_ctl", &["restart", "-D", "data", "-w", "-t", "60"], &["-l", "log", "-m", mode]);
    }

    fn run(&self, program: &str, arguments: &[&str], more: &[&str]) {
        let mut command = self.command(self.programs.join(program));
        // The server keeps the file descriptors that it is started with, so that a pipe would not end.
        let output = self.folder.join("output");
        let [out, err] = [(); 2].map(|()| fs::File::options().create(true).append(true).open(&output));
        let status = command.args(arguments).args(more).stdin(Stdio::null());
        let status =
            status.stdout(out.expect("our own folder")).stderr(err.expect("our own folder")).status();
        let status = status.unwrap_or_else(|error| panic!("{program} does not start: {error}"));
        assert!(
            status.success(),
            "{program} {arguments:?} {more:?} in {}: {status}\n{}{}",
            self.folder.display(),
            fs::read_to_string(output).unwrap_or_default(),
            fs::read_to_string(self.folder.join("log")).unwrap_or_default(),
        );
    }

    /// A program in the folder, as a user that may run it, with a pipe to its input.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        for (name, _) in env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
            command.env_remove(name);
        }
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            drop(guard.stdin.take());
            drop(guard.wait());
        }
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// Keeps others on this machine out for the seconds that the server runs.
const PASSWORD: &str = "only-for-this-test";

/// Where `initdb` and `pg_ctl` are: in PATH, or where Debian has them, the latest version first.
fn programs() -> PathBuf {
    let versions =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut versions: Vec<_> = versions.collect();
    versions.sort_by_key(|path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()));
    let debian = versions.into_iter().rev().map(|path| path.join("bin"));
    env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .chain(debian)
        .find(|folder| ["initdb", "pg_ctl"].iter().all(|program| folder.join(program).is_file()))
        .expect(
            "this test needs a PostgreSQL server: initdb and pg_ctl in PATH or below /usr/lib/postgresql; \
             on Debian: apt-get install -y --no-install-recommends postgresql",
        )
}

/// The user and group that Debian's package makes.
fn unprivileged() -> (u32, u32) {
    let id = |what: &str| {
        let output = Command::new("id").args([what, "postgres"]).output().expect("every Unix has id");
        let text = String::from_utf8(output.stdout).expect("a number");
        text.trim()
            .parse()
            .expect("PostgreSQL does not run as root, and there is no user postgres to run it as")
    };
    (id("-u"), id("-g"))
}

/// One below those that the system gives to connections: nobody else gets it while the server restarts.
fn free_port() -> u16 {
    let ports = std::iter::repeat_with(|| fastrand::u16(10_000..32_000));
    let free = ports.take(100).find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok());
    free.expect("one of a hundred ports is free")
}
