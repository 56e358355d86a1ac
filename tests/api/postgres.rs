//! All of these stories once more, with records, audit and spool in Postgres: a server of our own on a Unix socket,
//! started from the Debian package. Without it the story is skipped, except in CI.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Set for the stories that run inside this one.
const SERVER: &str = "SIDETONE_TEST_POSTGRES";

#[test]
fn every_story_of_the_api_holds_with_postgres() {
    if std::env::var_os(SERVER).is_some() {
        return; // this is one of them
    }
    let Some(programs) = programs() else {
        assert!(std::env::var_os("CI").is_none(), "Postgres is not installed: apt-get install postgresql");
        eprintln!("SKIPPED: Postgres is not installed: apt-get install postgresql");
        return;
    };
    let server = Server::start(&programs);
    let mut stories = Command::new(std::env::current_exe().unwrap());
    stories.env(SERVER, server.url()).args(["--quiet", "--test-threads=4"]);
    let done = stories.output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.contains("test result: ok"), "{said}");
}

/// Where `initdb` and `postgres` are: on the path, or where Debian keeps them for its own scripts.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = debian.map(|version| version.path().join("bin"));
    let mut places = std::env::split_paths(&path).chain(debian);
    places.find(|place| ["initdb", "postgres"].iter().all(|program| place.join(program).is_file()))
}

/// A server that goes with the story. It listens on a Unix socket in its own directory, so nobody else meets it.
struct Server {
    process: Child,
    place: tempfile::TempDir,
}

impl Server {
    fn start(programs: &Path) -> Server {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("data");
        if is_root() {
            run(Command::new("chown").arg(UNPRIVILEGED).arg(place.path()));
        }
        let encoding = ["--encoding=UTF8", "--no-locale", "--auth=trust", "--username=story", "--no-sync"];
        run(unprivileged(&programs.join("initdb")).args(encoding).arg("--pgdata").arg(&data));
        let mut postgres = unprivileged(&programs.join("postgres"));
        postgres.arg("-D").arg(&data).arg("-k").arg(place.path());
        for setting in ["listen_addresses=", "fsync=off", "max_connections=400"] {
            postgres.args(["-c", setting]);
        }
        let mut process = postgres.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let ready = lines.by_ref().any(|line| line.contains("ready to accept connections"));
        // It blocks when nobody reads what it says.
        std::thread::spawn(move || lines.count());
        let server = Server { process, place };
        assert!(ready, "Postgres has ended before it was ready");
        server
    }

    /// A host that begins with a slash is the directory of a socket.
    fn url(&self) -> String {
        let directory = self.place.path().display().to_string().replace('/', "%2F");
        format!("postgres://story@{directory}/postgres")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

/// Postgres does not run as root.
const UNPRIVILEGED: &str = "nobody";

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.trim_ascii() == b"0"
}

fn unprivileged(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", UNPRIVILEGED, "--regid", "nogroup", "--clear-groups", "--"]).arg(program);
    command
}

fn run(command: &mut Command) {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}
