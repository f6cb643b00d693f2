//! What counts is the effect. Each test is a defect seen in the field: the line was there and did nothing.
#![expect(clippy::tests_outside_test_module, reason = "the whole file is one test program")]

use std::path::Path;

use stonecell_controls::{
    Catalogue, Context, Effect, MemoryRoot, Outcome, Ownership, Root, RootMut, Selection,
};

fn selection(wants: &[&str]) -> Selection {
    let mut text = String::from(
        "schema = 1\nfamily = \"test\"\ntitle = \"T\"\n[[control]]\nid = \"SC-TST-001\"\ntitle = \"A\"\nwhy = \"B.\"\nseverity = \"low\"\nprofiles = [\"stonecell\"]\n",
    );
    for want in wants {
        text.push_str(&format!("[[control.want]]\n{want}\n"));
    }
    let context = Context { profile: "stonecell".to_owned(), ..Context::default() };
    Catalogue::parse(&[("test.toml", text)]).expect("reads").select(&context).expect("selects")
}

fn root(files: &[(&str, &str)]) -> MemoryRoot {
    let mut root = MemoryRoot::new();
    for (path, text) in files {
        root.write(Path::new(path), text.as_bytes(), Ownership::PLAIN).expect("writes");
    }
    root
}

fn passes(selection: &Selection, root: &MemoryRoot) -> bool {
    match selection.check(root).swap_remove(0).outcome {
        Outcome::Pass => true,
        Outcome::Fail { failures } => {
            assert!(
                failures
                    .iter()
                    .all(|failure| !failure.remedy.is_empty() && !failure.place.is_empty())
            );
            false
        }
        other => panic!("{other:?}"),
    }
}

fn text(root: &MemoryRoot, path: &str) -> String {
    root.text(Path::new(path)).expect("reads").expect("is there")
}

const WHEEL: &str = "kind = \"pam\"\nservice = \"su\"\ntype = \"auth\"\ncontrol = \"required\"\nmodule = \"pam_wheel.so\"\nargs = [\"use_uid\"]\nposition = \"after:pam_rootok.so\"";

#[test]
fn a_restriction_behind_an_include_that_ends_the_stack_restricts_nobody() {
    let wheel = selection(&[WHEEL]);
    let su =
        "auth sufficient pam_rootok.so\n@include common-auth\nauth required pam_wheel.so use_uid\n";
    let auth = "auth [success=1 default=ignore] pam_unix.so\nauth [default=die] pam_faillock.so authfail\nauth sufficient pam_faillock.so authsucc\n";
    let mut root = root(&[("/etc/pam.d/su", su), ("/etc/pam.d/common-auth", auth)]);
    assert!(!passes(&wheel, &root));
    wheel.apply(&mut root, &mut |_| {}).expect("applies");
    assert!(passes(&wheel, &root));
    assert_eq!(
        text(&root, "/etc/pam.d/su"),
        "auth sufficient pam_rootok.so\nauth\trequired\tpam_wheel.so use_uid\n@include common-auth\n"
    );
}

#[test]
fn a_substack_does_not_end_the_stack_around_it() {
    let want = WHEEL.replace("after:pam_rootok.so", "last");
    let wheel = selection(&[&want]);
    let inner = ("/etc/pam.d/inner", "auth sufficient pam_x.so\n");
    let with = |word: &str| {
        let su = format!("auth {word} inner\nauth required pam_wheel.so use_uid\n");
        root(&[("/etc/pam.d/su", &su), inner])
    };
    assert!(passes(&wheel, &with("substack")));
    assert!(!passes(&wheel, &with("include")));
}

#[test]
fn counting_failures_needs_its_jump_corrected() {
    let want = WHEEL
        .replace("\"su\"", "\"common-auth\"")
        .replace("required", "[default=die]")
        .replace("pam_wheel.so", "pam_faillock.so")
        .replace("use_uid", "authfail")
        .replace("pam_rootok.so", "pam_unix.so");
    let faillock = selection(&[&want]);
    let auth = "auth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\nauth required pam_permit.so\n";
    let mut root = root(&[("/etc/pam.d/common-auth", auth)]);
    faillock.apply(&mut root, &mut |_| {}).expect("applies");
    assert_eq!(
        text(&root, "/etc/pam.d/common-auth"),
        "auth [success=2 default=ignore] pam_unix.so\nauth\t[default=die]\tpam_faillock.so authfail\nauth requisite pam_deny.so\nauth required pam_permit.so\n"
    );
}

#[test]
fn sshd_takes_the_first_value_and_includes_come_first() {
    let no_password = selection(&[
        "kind = \"setting\"\npath = \"/etc/ssh/sshd_config\"\nformat = \"ssh\"\nkey = \"PasswordAuthentication\"\nvalue = \"no\"",
    ]);
    let main = "Include /etc/ssh/sshd_config.d/*.conf\nPasswordAuthentication no\n";
    let cloud = ("/etc/ssh/sshd_config.d/50-cloud.conf", "PasswordAuthentication yes\n");
    let mut root = root(&[("/etc/ssh/sshd_config", main), cloud]);
    assert!(!passes(&no_password, &root));
    no_password.apply(&mut root, &mut |_| {}).expect("applies");
    assert!(passes(&no_password, &root));
    assert_eq!(text(&root, cloud.0), cloud.1, "the package's file stays");
}

#[test]
fn a_package_file_that_sorts_later_and_one_for_every_interface_lose() {
    let sysctl = selection(&[
        "kind = \"sysctl\"\nkey = \"fs.protected_fifos\"\nvalue = \"2\"",
        "kind = \"sysctl\"\nkey = \"net.ipv4.conf.all.rp_filter\"\nvalue = \"1\"",
    ]);
    let mut root = root(&[
        ("/usr/lib/sysctl.d/99-protect-links.conf", "fs.protected_fifos = 1\n"),
        (
            "/usr/lib/sysctl.d/50-default.conf",
            "net.ipv4.conf.*.rp_filter = 2\n-net.ipv4.conf.all.rp_filter\n",
        ),
    ]);
    sysctl.apply(&mut root, &mut |_| {}).expect("applies");
    assert!(passes(&sysctl, &root));
    let ours = text(&root, "/usr/lib/sysctl.d/99-zz-stonecell.conf");
    assert!(ours.contains("net.ipv4.conf.*.rp_filter = 1\n"), "{ours}");
}

#[test]
fn drop_ins_of_the_type_and_masks_are_merged() {
    let sandbox = selection(&[
        "kind = \"unit_setting\"\nunit = \"a-b.service\"\nsection = \"Service\"\nkey = \"SystemCallFilter\"\nvalue = [\"@system-service\", \"~@privileged\"]",
    ]);
    let unit = (
        "/usr/lib/systemd/system/a-b.service",
        "[Service]\nExecStart=/x\nSystemCallFilter=@mount\n",
    );
    let mut root = root(&[unit]);
    assert!(!passes(&sandbox, &root));
    sandbox.apply(&mut root, &mut |_| {}).expect("applies");
    assert!(passes(&sandbox, &root));
    for path in [
        "/etc/systemd/system/service.d/60-x.conf",
        "/usr/lib/systemd/system/a-.service.d/60-x.conf",
    ] {
        let later = "[Service]\nSystemCallFilter=@debug\n";
        root.write(Path::new(path), later.as_bytes(), Ownership::PLAIN).expect("writes");
        assert!(!passes(&sandbox, &root), "{path}");
        root.link(Path::new("/etc/systemd/system/a-b.service.d/60-x.conf"), Path::new("/dev/null"))
            .expect("links");
        assert!(passes(&sandbox, &root), "a link to /dev/null silences {path}");
        root.remove(Path::new("/etc/systemd/system/a-b.service.d/60-x.conf")).expect("removes");
        root.remove(Path::new(path)).expect("removes");
    }
}

#[test]
fn a_rule_for_a_missing_program_is_not_written_and_not_believed() {
    let rule = "kind = \"audit_rule\"\nrule = \"-a always,exit -F path=/usr/sbin/netreport -F perm=x\"\nkey = \"privileged\"";
    let audit = selection(&[rule]);
    let mut root = root(&[("/etc/passwd", "")]);
    let applied = audit.apply(&mut root, &mut |_| {}).expect("applies");
    assert!(matches!(applied.records[0].effect, Effect::LeftOut { .. }));
    assert!(root.read(Path::new("/etc/audit/audit.rules")).expect("reads").is_none());
    let compiled = "-a always,exit -F path=/usr/sbin/netreport -F perm=x -k privileged\n";
    root.write(Path::new("/etc/audit/audit.rules"), compiled.as_bytes(), Ownership::PLAIN)
        .expect("writes");
    assert!(!passes(&audit, &root));
}

#[test]
fn a_failure_says_what_cannot_be_done() {
    let missing = selection(&["kind = \"unit\"\nname = \"none.service\"\nstate = \"enabled\""]);
    let error = missing.apply(&mut root(&[]), &mut |_| {}).expect_err("there is no such unit");
    let reason = std::error::Error::source(&error).expect("a reason").to_string();
    assert!(
        error.to_string().contains("SC-TST-001") && reason.contains("none.service"),
        "{error}: {reason}"
    );
}

#[test]
fn a_locked_hash_is_still_a_password() {
    let none =
        selection(&["kind = \"account\"\nuser = \"root\"\npassword = \"none\"\nlocked = true"]);
    let passwd = ("/etc/passwd", "root:x:0:0::/root:/bin/bash\n");
    let mut root = root(&[passwd, ("/etc/shadow", "root:!$y$j9T$abc$def:1::::::\n")]);
    assert!(!passes(&none, &root));
    none.apply(&mut root, &mut |_| {}).expect("applies");
    assert!(passes(&none, &root));
    assert_eq!(text(&root, "/etc/shadow"), "root:!*:1::::::\n");
}
