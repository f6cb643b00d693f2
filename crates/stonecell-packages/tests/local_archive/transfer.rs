//! Files on their way from a mirror that is not always well.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use stonecell_definition::lock::Lock;
use stonecell_definition::with_causes;
use stonecell_packages::{
    Archive, Cache, Event, FetchError, FetchOptions, ProxySettings, Silent, Sources, TransferError,
    fetch,
};

use crate::repository::{NOW, Repository, open, options, part, request};
use crate::server::{Fault, Server};

const DEB: &str = "pool/bookworm/a.deb";

/// An archive with the package `a` behind a server, and its lock.
struct Mirror {
    repository: Repository,
    server: Server,
    sources: Sources,
    cache: Cache,
    lock: Lock,
}

impl Mirror {
    fn new() -> Self {
        let repository = Repository::of(&[("a", "")]);
        let server = Server::new(repository.root.path());
        let sources = repository.sources_at(&server.url(), &["bookworm"]);
        let cache = repository.cache();
        let archive = open(&sources, &cache).expect("accepted");
        let resolution = archive.resolve(&request(&["a"]), &Silent).expect("a solution");
        let lock = archive.lock(&resolution, "");
        Self { repository, server, sources, cache, lock }
    }

    fn fetch_with(&self, options: &FetchOptions) -> Result<Vec<PathBuf>, FetchError> {
        let cancel = AtomicBool::new(false);
        fetch(&self.lock, &self.sources, &self.cache, options, &Silent, &cancel)
    }

    fn fetch(&self) -> Result<Vec<PathBuf>, FetchError> {
        self.fetch_with(&options())
    }

    fn failure(&self) -> TransferError {
        match self.fetch() {
            Err(FetchError::Transfer { package, source }) => {
                assert_eq!(package, "a.deb");
                source
            }
            other => panic!("{other:?}"),
        }
    }

    fn path(&self) -> PathBuf {
        self.cache.deb(&self.lock.package[0].sha256)
    }

    fn assert_fetched(&self) {
        assert_eq!(self.fetch().expect("fetched"), [self.path()]);
        assert_eq!(fs::read(self.path()).expect("there"), self.repository.read(DEB));
        assert!(!part(&self.path()).exists());
    }

    /// Ranges of the requests for the package; `-` where there was none.
    fn ranges(&self) -> Vec<String> {
        let log = self.server.log();
        let requests = log.iter().filter(|line| line.contains(DEB));
        requests.map(|line| line.split(' ').nth(3).unwrap_or("-").to_owned()).collect()
    }
}

#[test]
fn files_are_fetched_once() {
    let mirror = Mirror::new();
    mirror.assert_fetched();
    mirror.assert_fetched();
    assert_eq!(mirror.ranges(), ["-"]);
}

#[test]
fn progress_ends_with_everything() {
    let mirror = Mirror::new();
    let last = Mutex::new(None);
    let progress = |event: Event<'_>| {
        if let Event::Bytes { item, done, total, files_done, files_total } = event {
            *last.lock().expect("sound") =
                Some((item.to_owned(), done, total, files_done, files_total));
        }
    };
    let cancel = AtomicBool::new(false);
    fetch(&mirror.lock, &mirror.sources, &mirror.cache, &options(), &progress, &cancel)
        .expect("fetched");
    let size = mirror.lock.package[0].size;
    assert_eq!(last.into_inner().expect("sound"), Some(("a.deb".into(), size, size, 1, 1)));
}

#[test]
fn a_connection_that_breaks_is_taken_up_again() {
    let mirror = Mirror::new();
    mirror.server.set(DEB, Fault::BreakOnce(100_000));
    mirror.assert_fetched();
    assert_eq!(mirror.ranges(), ["-", "100000-"]);
}

#[test]
fn what_a_failed_run_got_is_kept_for_the_next() {
    let mirror = Mirror::new();
    mirror.server.set(DEB, Fault::BreakOnce(100_000));
    let mut once = options();
    once.connection.attempts = 1;
    let error = mirror.fetch_with(&once).expect_err("broken off");
    assert!(with_causes(&error).contains("next run goes on from there"), "{}", with_causes(&error));
    assert_eq!(fs::metadata(part(&mirror.path())).expect("kept").len(), 100_000);
    assert!(!mirror.path().exists());
    mirror.assert_fetched();
    assert_eq!(mirror.ranges(), ["-", "100000-"]);
}

#[test]
fn a_truncated_file_is_an_error() {
    let mirror = Mirror::new();
    let content = mirror.repository.read(DEB);
    mirror.repository.write(DEB, &content[..content.len() / 2]);
    let error = mirror.failure();
    assert!(matches!(error, TransferError::Size { .. }), "{error:?}");
    // The server gives up in the middle again and again.
    mirror.repository.write(DEB, &content);
    mirror.server.set(DEB, Fault::Break(0));
    let error = mirror.failure();
    assert!(matches!(error, TransferError::Unreachable { attempts: 2, .. }), "{error:?}");
    mirror.server.mend();
    mirror.assert_fetched();
}

#[test]
fn a_server_that_ignores_ranges_starts_over() {
    let mirror = Mirror::new();
    let path = part(&mirror.path());
    fs::create_dir_all(path.parent().expect("a directory")).expect("writable");
    fs::write(&path, &mirror.repository.read(DEB)[..1000]).expect("writable");
    mirror.server.set(DEB, Fault::IgnoreRange);
    mirror.assert_fetched();
    assert_eq!(mirror.ranges(), ["1000-"]);
}

#[test]
fn a_part_of_something_else_is_thrown_away() {
    for content in [b"something else".to_vec(), vec![7; 1 << 20]] {
        let mirror = Mirror::new();
        let path = part(&mirror.path());
        fs::create_dir_all(path.parent().expect("a directory")).expect("writable");
        fs::write(&path, content).expect("writable");
        mirror.assert_fetched();
    }
}

#[test]
fn a_wrong_checksum_is_an_error_and_leaves_nothing() {
    let mirror = Mirror::new();
    let mut content = mirror.repository.read(DEB);
    *content.last_mut().expect("not empty") ^= 1;
    mirror.repository.write(DEB, &content);
    let error = mirror.failure();
    assert!(matches!(error, TransferError::Checksum { .. }), "{error:?}");
    assert!(!mirror.path().exists());
    assert_eq!(fs::metadata(part(&mirror.path())).expect("emptied").len(), 0);
    content.push(0);
    mirror.repository.write(DEB, &content);
    let error = mirror.failure();
    assert!(matches!(error, TransferError::Size { .. }), "{error:?}");
}

#[test]
fn a_damaged_file_of_the_cache_is_fetched_again() {
    let mirror = Mirror::new();
    mirror.assert_fetched();
    let mut content = mirror.repository.read(DEB);
    *content.last_mut().expect("not empty") ^= 1;
    fs::write(mirror.path(), &content).expect("writable");
    let trusting = FetchOptions { trust_cached: true, ..options() };
    mirror.fetch_with(&trusting).expect("of the right size");
    assert_eq!(mirror.ranges(), ["-"]);
    mirror.assert_fetched();
    assert_eq!(mirror.ranges(), ["-", "-"]);
}

#[test]
fn statuses_are_told_apart() {
    let mirror = Mirror::new();
    mirror.server.set(DEB, Fault::Status(503));
    let error = mirror.failure();
    assert!(matches!(error, TransferError::Unreachable { attempts: 2, .. }), "{error:?}");
    mirror.server.set(DEB, Fault::Status(403));
    let error = mirror.failure();
    assert!(matches!(error, TransferError::Unreachable { attempts: 1, .. }), "{error:?}");
    assert!(error.to_string().contains("status 403"), "{error}");
    mirror.server.set(DEB, Fault::Status(404));
    let error = mirror.fetch().expect_err("gone");
    assert!(matches!(error, FetchError::Gone { .. }), "{error:?}");
}

#[test]
fn a_mirror_that_is_down_is_named() {
    let mut mirror = Mirror::new();
    // A port that was just free: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", free.local_addr().expect("bound"));
    drop(free);
    mirror.sources.suites[0].base_url = url.parse().expect("a URL");
    let error = mirror.failure();
    assert!(error.to_string().contains(&url), "{error}");
}

#[test]
fn by_hash_is_preferred_and_not_needed() {
    let repository = Repository::of(&[("a", "")]);
    repository.publish("bookworm", "Acquire-By-Hash: yes\n");
    let server = Server::new(repository.root.path());
    let sources = repository.sources_at(&server.url(), &["bookworm"]);
    open(&sources, &repository.cache()).expect("accepted");
    let log = server.log();
    assert!(log[1].contains("/main/binary-amd64/by-hash/SHA256/"), "{log:?}");
    assert!(log[2].contains("/main/binary-amd64/Packages.gz "), "{log:?}");
}

#[test]
fn a_proxy_is_used_and_can_be_left_out() {
    let mut mirror = Mirror::new();
    // The name does not resolve: only a proxy can know it.
    mirror.sources.suites[0].base_url = "http://mirror.invalid/".parse().expect("a URL");
    let proxied = |no_proxy: Option<&str>| {
        let mut options = options();
        options.connection.proxies = ProxySettings {
            http: Some(mirror.server.url().to_string()),
            https: None,
            no_proxy: no_proxy.map(String::from),
        };
        options
    };
    assert!(mirror.fetch_with(&proxied(Some("mirror.invalid"))).is_err());
    mirror.fetch_with(&proxied(None)).expect("fetched");
    let log = mirror.server.log();
    assert_eq!(log.last().expect("one"), &format!("GET http://mirror.invalid/{DEB} HTTP/1.1"));
}

#[test]
fn two_runs_share_one_download() {
    let mirror = Arc::new(Mirror::new());
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let mirror = Arc::clone(&mirror);
            thread::spawn(move || mirror.fetch().map(|paths| paths.len()))
        })
        .collect();
    for run in runs {
        assert_eq!(run.join().expect("no panic").expect("fetched"), 1);
    }
    mirror.assert_fetched();
    assert_eq!(mirror.ranges(), ["-"]);
}

#[test]
fn an_interrupt_ends_a_hanging_transfer() {
    let mirror = Mirror::new();
    mirror.server.set(DEB, Fault::Hang);
    let cancel = AtomicBool::new(false);
    thread::scope(|scope| {
        let run = scope.spawn(|| {
            fetch(&mirror.lock, &mirror.sources, &mirror.cache, &options(), &Silent, &cancel)
        });
        while mirror.ranges().is_empty() {
            thread::yield_now();
        }
        cancel.store(true, Ordering::Relaxed);
        let error = run.join().expect("no panic").expect_err("interrupted");
        assert!(
            matches!(error, FetchError::Transfer { source: TransferError::Cancelled, .. }),
            "{error:?}"
        );
    });
    mirror.server.mend();
    mirror.assert_fetched();
}

#[test]
fn an_interrupt_ends_the_wait_for_a_signature() {
    let mirror = Mirror::new();
    mirror.server.set("dists/bookworm/InRelease", Fault::Hang);
    let before = mirror.server.log().len();
    let cancel = AtomicBool::new(false);
    thread::scope(|scope| {
        let run = scope.spawn(|| {
            Archive::open(&mirror.sources, &mirror.cache, &options(), NOW, &Silent, &cancel)
        });
        while mirror.server.log().len() == before {
            thread::yield_now();
        }
        cancel.store(true, Ordering::Relaxed);
        let error = run.join().expect("no panic").expect_err("interrupted");
        assert!(with_causes(&error).contains("interrupted"), "{}", with_causes(&error));
    });
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let mirror = Mirror::new();
    let directory = mirror.path();
    fs::write(directory.parent().expect("a directory"), b"").expect("writable");
    let error = mirror.failure();
    assert!(matches!(error, TransferError::Disk { .. }), "{error:?}");
}

#[test]
fn a_lock_of_other_suites_is_refused() {
    let mut mirror = Mirror::new();
    mirror.lock.package[0].filename = "../../etc/passwd".into();
    assert!(matches!(mirror.fetch(), Err(FetchError::Lock { field: "filename", .. })));
    mirror.lock.package[0].suite = "trixie".into();
    assert!(matches!(mirror.fetch(), Err(FetchError::Suite { .. })));
}

#[test]
fn a_local_mirror_needs_no_server() {
    let mut mirror = Mirror::new();
    mirror.sources.suites[0].base_url = mirror.repository.url();
    mirror.assert_fetched();
    assert!(mirror.ranges().is_empty());
}
