//! Each role does what it is for: built from real packages, booted, and asked from inside; logins come from outside.
//!
//! Minutes of software emulation, so ignored unless asked for (`make real`).
#![cfg(test)]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Output;

use stonecell_machine::{Firmware, Machine, free_port};

use support::{PATIENCE, STONECELL, machine, run, succeed};

/// A role's image, in a directory of the moment.
struct Image {
    dir: tempfile::TempDir,
    raw: PathBuf,
    key: PathBuf,
}

/// A machine of that image that has described itself.
struct Running {
    machine: Machine,
    report: String,
    port: u16,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Builds the probe of a role, with a key of the moment for whoever may log in.
fn build(role: &str, release: &str) -> Image {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let key = at("key");
    succeed(
        "ssh-keygen",
        &["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key.to_str().unwrap()],
    );
    let public = fs::read_to_string(at("key.pub")).unwrap();
    fs::create_dir(at("stemcells")).unwrap();
    symlink(repository().join("roles"), at("roles")).unwrap();
    let filled = |name: &str, agent: &str| {
        let text = fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/probe/roles").join(name),
        );
        let text = text
            .unwrap()
            .replace("@RELEASE@", release)
            .replace("@ROLE@", role)
            .replace("@KEY@", public.trim_end())
            .replace("@AGENT@", agent);
        fs::write(at("stemcells").join(name), &text).unwrap();
        text
    };
    filled("agent.sh", "");
    let digest = succeed("sha256sum", &[at("stemcells/agent.sh").to_str().unwrap()]);
    let agent = digest.split_whitespace().next().unwrap();
    for name in ["common.toml", "probe.sh", &format!("{role}.sh"), &format!("{role}.toml")] {
        filled(name, agent);
    }
    let definition = at("stemcells").join(format!("{role}.toml")).display().to_string();
    let out = at("out").display().to_string();
    succeed(STONECELL, &["lock", &definition, "--quiet"]);
    succeed(STONECELL, &["build", &definition, "--out", &out, "--quiet"]);
    let raw = at("out").join(format!("role-{role}-1.0.raw"));
    Image { raw, key, dir }
}

/// Boots, waits for the report and checks what holds for every role: it is up, nothing failed, nothing was refused,
/// and exactly `ports` listen.
fn start(image: &Image, ports: &[u16]) -> Running {
    let scratch = image.dir.path().join("scratch.raw");
    fs::File::create(&scratch).unwrap().set_len(1 << 30).unwrap();
    let port = free_port().unwrap();
    let firmware = Firmware::find(false).unwrap();
    let boot = firmware.boot(&image.dir.path().join("variables.fd")).unwrap();
    let spec = machine(boot, &[&image.raw, &scratch], Some(port));
    let mut machine = Machine::start(&spec, image.dir.path()).unwrap();
    machine.wait_for("@@ end", PATIENCE).unwrap();
    let running = Running { report: machine.console(), machine, port };
    assert_eq!(running.section("state"), ["running"], "{}", running.report);
    assert!(running.section("failed").is_empty(), "{}", running.report);
    assert!(running.section("denied").is_empty(), "{}", running.report);
    assert_eq!(running.listening(), ports, "{}", running.report);
    running
}

impl Running {
    /// The lines of one section of the report.
    fn section(&self, name: &str) -> Vec<&str> {
        support::section(&self.report, name)
    }

    /// TCP ports that listen on any address but the loopback's, sorted, once each.
    fn listening(&self) -> Vec<u16> {
        let sockets = self.section("sockets");
        let mut ports: Vec<u16> = sockets
            .iter()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|fields| fields[0].starts_with("tcp") && fields[4] == "0A")
            .filter_map(|fields| fields[2].split_once(':'))
            .filter(|(address, _)| *address != "0100007F")
            .map(|(_, port)| u16::from_str_radix(port, 16).unwrap())
            .collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    fn says(&self, wanted: &str) {
        let role = self.section("role");
        assert!(role.contains(&wanted), "{wanted} is missing in {role:#?}");
    }

    /// Runs a command as a user through the forwarded port; the key is the only way in.
    fn ssh(&self, key: &Path, user: &str, command: &str) -> Output {
        let port = self.port.to_string();
        let there = format!("{user}@127.0.0.1");
        let mut arguments = vec!["-i", key.to_str().unwrap(), "-p", &port];
        for option in [
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
        ] {
            arguments.extend(["-o", option]);
        }
        arguments.extend([there.as_str(), command]);
        run("ssh", &arguments)
    }

    fn becomes_root(&self, key: &Path, user: &str) {
        let output = self.ssh(key, user, "id -un && sudo -n id -un");
        let errors = String::from_utf8_lossy(&output.stderr);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text, format!("{user}\nroot\n"), "{errors}");
    }
}

fn web(release: &str) {
    let image = build("web", release);
    let mut running = start(&image, &[22, 80]);
    running.says("HTTP/1.1 200 OK");
    assert_eq!(
        running.section("role")[1..],
        ["ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"],
        "the host key lies on writable state, and only there"
    );
    running.becomes_root(&image.key, "keeper");
    assert!(!running.ssh(&image.key, "root", "true").status.success(), "root does not log in");
    let other = image.dir.path().join("other");
    succeed("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", other.to_str().unwrap()]);
    assert!(!running.ssh(&other, "keeper", "true").status.success(), "another key is refused");
    running.machine.kill().unwrap();
}

#[test]
#[ignore = "real packages or machines: `make real`"]
fn web_serves_and_ssh_lets_a_key_in() {
    web("bookworm");
}

#[test]
#[ignore = "real packages or machines: `make real`"]
fn web_serves_on_debian_13() {
    web("trixie");
}

#[test]
#[ignore = "real packages or machines: `make real`"]
fn database_keeps_what_it_is_given() {
    let image = build("database", "bookworm");
    let mut running = start(&image, &[]);
    for line in
        ["CREATE TABLE", "INSERT 0 1", "still here", "on", "listens on []", "1", "read-only"]
    {
        running.says(line);
    }
    running.machine.kill().unwrap();
}

#[test]
#[ignore = "real packages or machines: `make real`"]
fn container_host_runs_a_confined_container() {
    let image = build("container-host", "bookworm");
    let mut running = start(&image, &[]);
    for line in [
        "pid 1",
        "up with 33554432 bytes",
        "forwards 1",
        "networks can be written",
        "cri answers",
        "Seccomp:\t2",
        "profile probe-default (enforce)",
        "1",
        "the layer is writable",
    ] {
        running.says(line);
    }
    running.machine.kill().unwrap();
}

#[test]
#[ignore = "real packages or machines: `make real`"]
fn bosh_lets_its_agent_work() {
    let image = build("bosh", "bookworm");
    let mut running = start(&image, &[22]);
    let role = running.section("role");
    let failed: Vec<_> = role.iter().filter(|line| !line.starts_with("ok ")).collect();
    assert_eq!(failed, [&"finished"], "{role:#?}");
    running.becomes_root(&image.key, "bosh_probe");
    assert!(!running.ssh(&image.key, "vcap", "true").status.success(), "vcap has no key");
    running.machine.kill().unwrap();
}
