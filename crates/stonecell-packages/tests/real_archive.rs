//! The host's own mirror: what the crate does with the archive as it is today.
#![expect(clippy::tests_outside_test_module, reason = "the whole file is one test program")]

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use stonecell_definition::lock::Lock;
use stonecell_packages::{
    Archive, Base, Cache, Distribution, FetchOptions, MirrorRequest, ProxySettings, Request,
    Silent, Synthetic, fetch, mirrors, read_host_apt,
};

fn lock(release: &str, cache: &Cache) -> Lock {
    let host = read_host_apt().expect("apt on this machine");
    let environment = std::env::var("STONECELL_MIRROR").ok();
    let base = Base {
        distribution: Distribution::Debian,
        release: release.into(),
        architecture: "amd64".into(),
        components: vec!["main".into()],
        extra_suites: vec![],
        keyring: "/usr/share/keyrings/debian-archive-keyring.gpg".into(),
    };
    let request = MirrorRequest {
        environment: environment.as_deref(),
        host: Some(&host),
        ..MirrorRequest::default()
    };
    let sources = mirrors(&base, &request).expect("a mirror");
    let mut options = FetchOptions::default();
    options.connection.proxies = ProxySettings::from_variables(|name| std::env::var(name).ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let now = i64::try_from(now).expect("before the year 292277026596");
    let cancel = AtomicBool::new(false);
    let archive =
        Archive::open(&sources, cache, &options, now, &Silent, &cancel).expect("the archive");
    let request = Request {
        install: [
            "systemd",
            "systemd-sysv",
            "linux-image-cloud-amd64",
            "nftables",
            "auditd",
            "apparmor",
            "openssh-server",
        ]
        .map(String::from)
        .to_vec(),
        deny: vec!["initramfs-tools*".into(), "usrmerge".into()],
        tools: vec!["systemd-boot-efi".into()],
        synthetic: vec![Synthetic {
            name: "stonecell-initrd".into(),
            version: "1".into(),
            provides: vec!["linux-initramfs-tool".into()],
        }],
        essential: true,
        ..Request::default()
    };
    let resolution = archive.resolve(&request, &Silent).expect("a solution");
    let lock = archive.lock(&resolution, &"0".repeat(64));
    let smallest = lock.package.iter().min_by_key(|package| package.size).expect("packages");
    let one = Lock { package: vec![smallest.clone()], tool: vec![], ..lock.clone() };
    let paths = fetch(&one, &sources, cache, &options, &Silent, &cancel).expect("one package");
    assert_eq!(std::fs::metadata(&paths[0]).expect("fetched").len(), smallest.size);
    lock
}

fn check(release: &str) {
    let root = tempfile::tempdir().expect("temporary directory");
    let cache = Cache::open(root.path()).expect("writable");
    let lock = lock(release, &cache);
    let names: BTreeSet<&str> = lock.package.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names.len(), lock.package.len(), "one version of each");
    for wanted in ["libc6", "dpkg", "bash", "systemd", "linux-image-cloud-amd64", "perl-base"] {
        assert!(names.contains(wanted), "{wanted}");
    }
    assert!(!names.iter().any(|name| name.starts_with("initramfs-tools")));
    assert!(!names.contains("stonecell-initrd"));
    for package in lock.package.iter().chain(&lock.tool) {
        assert_eq!(package.sha256.len(), 64, "{}", package.name);
        assert!(package.size > 0 && package.filename.ends_with(".deb"), "{}", package.name);
    }
    assert!(lock.package.iter().any(|p| p.name == "libc6" && p.essential));
    assert!(lock.package.iter().any(|p| p.name == "nftables" && !p.essential));
    assert_eq!(lock.tool.len(), 1);
    assert_eq!(lock.index.len(), 3);
    assert!(lock.index.iter().all(|index| !index.signed_by.is_empty()));
    let text = toml::to_string(&lock).expect("TOML");
    assert_eq!(toml::from_str::<Lock>(&text).expect("the same TOML"), lock);
}

#[test]
fn bookworm_resolves() {
    check("bookworm");
}

#[test]
fn trixie_resolves() {
    check("trixie");
}
