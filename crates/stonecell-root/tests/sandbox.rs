//! The namespace from outside: what is in it, and that nothing of it outlives either side.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::AtomicBool;

use rustix::process::{Pid, Signal};
use stonecell_root::sandbox::{self, InRoot, Inner, SandboxError};

fn main() -> ExitCode {
    if let Some(code) = sandbox::dispatch() {
        return code;
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("inside") => inside(&args[1..]),
        Some("outside") => outside(&args[1..]),
        // What the test runner passes (a filter, `--nocapture`) has no meaning for one sequence.
        _ => {
            tests();
            ExitCode::SUCCESS
        }
    }
}

/// An outer process of its own, so that it can be killed.
fn outside(args: &[String]) -> ExitCode {
    match respawn(args) {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error @ SandboxError::Interrupted(_)) => {
            println!("{error}");
            ExitCode::from(130)
        }
        Err(error) => {
            println!("{error}");
            ExitCode::from(2)
        }
    }
}

fn respawn(args: &[String]) -> Result<std::process::ExitStatus, SandboxError> {
    let args = ["inside".into()].into_iter().chain(args.iter().map(OsString::from)).collect();
    let inner = Inner {
        program: std::env::current_exe().unwrap(),
        args,
        env: vec![("STONECELL_TEST".into(), "passed on".into())],
    };
    sandbox::respawn(&inner, &AtomicBool::new(false))
}

/// The jobs that run inside.
fn inside(args: &[String]) -> ExitCode {
    match args.first().map(String::as_str) {
        Some("facts") => facts(),
        Some("fail") => return ExitCode::from(7),
        Some("root") => in_root(Path::new(&args[1])),
        Some("wait") => {
            // A second process and a mount, so that there is something to leave behind.
            rustix::mount::mount("left", "/mnt", "tmpfs", rustix::mount::MountFlags::empty(), None)
                .unwrap();
            let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
            println!("ready");
            child.wait().unwrap();
        }
        other => panic!("unknown job {other:?}"),
    }
    ExitCode::SUCCESS
}

fn facts() {
    assert_eq!(rustix::process::geteuid().as_raw(), 0);
    assert_eq!(std::env::var("STONECELL_TEST").unwrap(), "passed on");
    let processes = std::fs::read_dir("/proc")
        .unwrap()
        .filter(|entry| {
            entry.as_ref().unwrap().file_name().to_string_lossy().parse::<u32>().is_ok()
        })
        .count();
    assert_eq!(processes, 2, "only the first process and this one");
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input).unwrap();
    assert_eq!(input, "", "standard input is empty");
    let interfaces = std::fs::read_to_string("/proc/net/dev").unwrap();
    let interfaces: Vec<_> = interfaces.lines().skip(2).collect();
    assert!(interfaces.iter().all(|line| line.trim().starts_with("lo:")), "{interfaces:?}");
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), "stonecell\n");
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap();
    let mapped: u64 =
        map.lines().map(|l| l.split_whitespace().nth(2).unwrap().parse::<u64>().unwrap()).sum();
    assert!(mapped >= 65_536, "{map}");
    // Files of other owners can be made, which is what a root tree needs.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::os::unix::fs::chown(file.path(), Some(42), Some(65_534)).unwrap();
}

fn in_root(root: &Path) {
    let run = |script: &str| {
        let argv = ["/bin/sh", "-c", script].map(str::to_owned);
        let env = [("PATH".to_owned(), "/bin".to_owned()), ("ONLY".to_owned(), "this".to_owned())];
        let mut lines = Vec::new();
        let program = InRoot { root, argv: &argv, env: &env };
        let outcome =
            sandbox::run_in_root(&program, &mut |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(lines, outcome.tail);
        (outcome.status.code(), lines)
    };
    let (code, lines) = run("echo one; echo two >&2; exit 3");
    assert_eq!((code, lines), (Some(3), vec!["one".to_owned(), "two".to_owned()]));
    let root_names = run("echo /*").1;
    assert_eq!(root_names, ["/bin /dev /lib /lib64 /proc /run /tmp"]);
    let devices = run("cd /dev; echo *").1;
    assert_eq!(devices, ["fd full null ptmx pts random shm stderr stdin stdout tty urandom zero"]);
    assert_eq!(run("echo x > /dev/null; read -r line < /dev/null; echo $?").1, ["1"]);
    assert_eq!(run("export -p").1.iter().filter(|l| !l.contains("PWD")).count(), 2);
    // Written there, seen by nobody after; the stand-ins are the sandbox's own.
    run("echo x > /tmp/x; echo x > /run/x");
    assert_eq!(run("echo /tmp/* /run/*").1, ["/tmp/* /run/lock /run/stonecell-stand-ins"]);
    // The effective set is what maintainer scripts need; no administration of the system.
    let status = run("while read -r name value; do echo $name $value; done < /proc/self/status").1;
    let effective = status.iter().find_map(|line| line.strip_prefix("CapEff: ")).unwrap();
    let effective = u64::from_str_radix(effective, 16).unwrap();
    let (chown, sys_admin, sys_module, net_admin) = (1 << 0, 1 << 21, 1 << 16, 1 << 12);
    assert_eq!(effective & (chown | sys_admin | sys_module | net_admin), chown);
    // A descendant left behind by a program ends with the namespace; see `tests`.
    let missing = ["/bin/absent".to_owned()];
    let program = InRoot { root, argv: &missing, env: &[] };
    let outcome = sandbox::run_in_root(&program, &mut |_| ()).unwrap();
    assert!(!outcome.status.success() && outcome.tail.join("").contains("/bin/absent"));
}

fn tests() {
    let me = std::env::current_exe().unwrap();
    let step = |name: &str| println!("test {name} ...");

    step("facts inside");
    assert!(respawn(&["facts".into()]).unwrap().success());

    step("the status of the inner program comes back");
    assert_eq!(respawn(&["fail".into()]).unwrap().code(), Some(7));

    step("a program in a root");
    let root = small_root();
    let path = root.path().to_string_lossy().into_owned();
    assert!(respawn(&["root".into(), path]).unwrap().success());
    let dev = root.path().join("dev");
    assert_eq!(std::fs::read_dir(dev).unwrap().count(), 0, "a device was left in the tree");

    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 130)] {
        step("a signal ends everything and says so");
        let (mut outer, mut output) = waiting(&me);
        rustix::process::kill_process(Pid::from_child(&outer), signal).unwrap();
        assert_eq!(outer.wait().unwrap().code(), Some(code));
        let mut text = String::new();
        // The pipe ends when the last process that holds it has ended: nobody is left.
        output.read_to_string(&mut text).unwrap();
        assert!(text.contains("interrupted by signal"), "{text}");
    }

    step("a killed outer process takes the namespace with it");
    let (mut outer, mut output) = waiting(&me);
    outer.kill().unwrap();
    outer.wait().unwrap();
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    assert!(!mounts.lines().any(|line| line.starts_with("left ")), "a mount was left");

    if rustix::process::geteuid().is_root() {
        unprivileged(&me);
    }
}

/// An outer process with a namespace in which a process waits and a mount exists.
fn waiting(me: &Path) -> (std::process::Child, std::io::PipeReader) {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut command = Command::new(me);
    command.args(["outside", "wait"]).stdin(Stdio::null()).stdout(writer);
    // A group of its own, so that a signal reaches the outer process alone.
    let outer = command.process_group(0).spawn().unwrap();
    drop(command);
    let mut ready = [0; 6];
    reader.read_exact(&mut ready).unwrap();
    assert_eq!(&ready, b"ready\n");
    (outer, reader)
}

/// A shell and its libraries.
fn small_root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let output = Command::new("ldd").arg("/bin/sh").env("LC_ALL", "C").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let libraries = text.split_whitespace().filter(|word| word.starts_with('/'));
    for file in libraries.chain(["/bin/sh"]) {
        let target = root.path().join(file.trim_start_matches('/'));
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(file, target).unwrap();
    }
    root
}

/// The same without privilege: with subordinate ids it works, without it says what to do.
fn unprivileged(me: &Path) {
    let dir = tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o755))
        .tempdir()
        .unwrap();
    let program = dir.path().join("program");
    std::fs::copy(me, &program).unwrap();
    let with = subordinate_user();
    let as_user = |uid: u32, job: &str| {
        Command::new(&program)
            .args(["outside", job])
            .uid(uid)
            .gid(uid)
            .env("TMPDIR", "/tmp")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    println!("test an unprivileged user without subordinate ids is told the remedy ...");
    let output = as_user(4_000_000, "facts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("usermod --add-subuids"), "{text}");
    match with {
        Some(uid) => {
            println!("test an unprivileged user with subordinate ids ...");
            let output = as_user(uid, "facts");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        None => println!("skipped: no user of this machine has subordinate ids in /etc/subuid"),
    }
}

/// A user of this machine with a range in both files.
fn subordinate_user() -> Option<u32> {
    let read = |path: &str| std::fs::read_to_string(PathBuf::from(path)).unwrap_or_default();
    let (uids, gids, users) = (read("/etc/subuid"), read("/etc/subgid"), read("/etc/passwd"));
    uids.lines().filter_map(|line| line.split(':').next()).find_map(|name| {
        gids.lines().find(|line| line.split(':').next() == Some(name))?;
        let user = users.lines().find(|line| line.split(':').next() == Some(name))?;
        user.split(':').nth(2)?.parse().ok()
    })
}
