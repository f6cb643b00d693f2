//! Lines that are wrong by themselves.

use crate::{BASE, errors, role};

#[test]
fn each_bad_line_has_its_place_message_and_remedy() {
    let cases: [(&str, &str, &str, &str); 46] = [
        // body after HEAD, place, message, help
        ("naem = \"x\"", "4:1", "unknown field `naem` in a definition", "did you mean `name`?"),
        (
            "[packages]\ninstal = []",
            "5:1",
            "unknown field `instal` in `packages`",
            "did you mean `install`?",
        ),
        ("[packages]\nzzz = 1", "5:1", "unknown field `zzz`", "known fields: `install`"),
        (
            "[packages]\ninstall = \"bash\"",
            "5:11",
            "`packages.install` is a string",
            "expected a list, each a Debian package name",
        ),
        (
            "[packages]\ninstall = [1]",
            "5:12",
            "`packages.install` is an integer",
            "a Debian package name",
        ),
        (
            "[packages]\ninstall = [\"Bash\"]",
            "5:12",
            "`packages.install` is \"Bash\"",
            "a Debian package name",
        ),
        ("[packages]\ndeny = [\"[z\"]", "5:9", "invalid pattern", "wild cards"),
        (
            "[packages]\ninstall = [\"a1\"]\nremove = [\"a1\"]",
            "6:11",
            "the definition removes the package `a1`, and also installs",
            "keep one",
        ),
        ("[packages]\ninstall = [\"gdb\"]\ndeny = [\"g*\"]", "6:9", "denies `g*`", "keep one"),
        (
            "[kernel]\ncommand_line = [\"a b\"]",
            "5:17",
            "`kernel.command_line` is \"a b\"",
            "one kernel parameter",
        ),
        (
            "[services]\nenable = [\"ssh\"]\nmask = [\"ssh.service\"]",
            "6:9",
            "masks `ssh.service`, and also enables",
            "keep one",
        ),
        (
            "[controls]\nprofile = \"stoncell\"",
            "5:11",
            "unknown profile `stoncell`",
            "did you mean `stonecell`?",
        ),
        (
            "[[controls.opt_out]]\ncontrol = \"SC-NET-001\"\nowner = \"me\"\nexpires = 2027-01-01",
            "4:1",
            "the field `reason` is missing in `controls.opt_out`",
            "add `reason`",
        ),
        (
            "[[controls.opt_out]]\ncontrol = \"SC-NET-001\"\nreason = \"because\"\nowner = \"me\"\nexpires = 2027-01-01",
            "6:10",
            "`controls.opt_out.reason` is \"because\"",
            "at least 20 characters",
        ),
        (
            "[[controls.opt_out]]\ncontrol = \"SC-NET-001\"\nreason = \"a reason that says something\"\nowner = \"the network team\"\nexpires = 2026-06-01",
            "8:11",
            "the opt-out of SC-NET-001 expired on 2026-06-01",
            "its owner, the network team",
        ),
        (
            "[[controls.opt_out]]\ncontrol = \"SC-NET-001\"\nreason = \"a reason that says something\"\nowner = \"the network team\"\nexpires = \"2026-02-30\"",
            "8:11",
            "`expires` is \"2026-02-30\"",
            "a day that exists",
        ),
        ("[image]\nab = \"yes\"", "5:6", "`image.ab` is a string", "expected true or false"),
        (
            "[image]\nesp_size = \"1X\"",
            "5:12",
            "`image.esp_size` is \"1X\"",
            "a number and M, G or T",
        ),
        (
            "[image]\nesp_size = \"99999999T\"",
            "5:12",
            "more than the largest size",
            "make it smaller",
        ),
        (
            "[image]\nverity_corruption = \"panik\"",
            "5:21",
            "unknown value \"panik\" of `image.verity_corruption`",
            "did you mean `panic`?",
        ),
        (
            "[image.partition]\nmount = \"/srv\"",
            "4:1",
            "`image.partition` is a table",
            "write [[image.partition]] with two brackets",
        ),
        (
            "[[image.partition]]\nmount = \"/etc\"\nsize = \"1G\"",
            "5:9",
            "/etc cannot be a writable partition",
            "read-only",
        ),
        (
            "[[image.partition]]\nmount = \"/srv/../etc\"\nsize = \"1G\"",
            "5:9",
            "`image.partition.mount` is \"/srv/../etc\"",
            "an absolute path",
        ),
        (
            "[[image.partition]]\nmount = \"/srv\"\nsize = \"1M\"",
            "6:8",
            "/srv has a size of 1M",
            "make it larger",
        ),
        (
            "[[etc.mutable]]\npath = \"/var/x\"\nkind = \"run\"",
            "5:8",
            "/var/x is not below /etc",
            "written anyway",
        ),
        (
            "[[etc.mutable]]\npath = \"/etc/x/y\"\nkind = \"run\"\n[[etc.mutable]]\npath = \"/etc/x\"\nkind = \"run\"",
            "4:1",
            "/etc/x/y is below /etc/x",
            "take out one",
        ),
        (
            "[[user]]\nname = \"a\"\nuid = 0",
            "6:7",
            "`user.uid` is 0",
            "expected a number from 100 to 59999",
        ),
        (
            "[[user]]\nname = \"a\"\nuid = 1000\npassword = \"x\"",
            "7:1",
            "unknown field `password` in `user`",
            "an image holds no password",
        ),
        (
            "[[user]]\nname = \"a\"\nuid = 1000\n[[user]]\nname = \"b\"\nuid = 1000",
            "7:1",
            "the users `a` and `b` both have uid 1000",
            "its own uid",
        ),
        (
            "[[user]]\nname = \"a\"\nuid = 1000\nsudo = true",
            "4:1",
            "may use sudo, which is not installed",
            "add \"sudo\"",
        ),
        (
            "[packages]\ninstall = [\"sudo\"]\n[[user]]\nname = \"a\"\nuid = 1000\nsudo = true",
            "6:1",
            "may use sudo, which loses its setuid bit",
            "\"/usr/bin/sudo\" to setuid.allow",
        ),
        (
            "[[user]]\nname = \"a\"\nuid = 1000\ngroups = [\"adm\", \"disk\"]",
            "7:18",
            "the group `disk` lets `a` read and write every block of the disks",
            "privileged = true",
        ),
        (
            "[[group]]\nname = \"shadow\"\nmembers = [\"www-data\"]",
            "5:8",
            "the group `shadow` lets its members read the hashes of passwords",
            "privileged = true",
        ),
        (
            "[[group]]\nname = \"adm\"",
            "5:8",
            "the group `adm` has neither gid nor members",
            "`gid` makes a group",
        ),
        (
            "refines = [\"minimal\"]",
            "4:1",
            "unknown field `refines` in a definition",
            "known fields",
        ),
        (
            "[[firewall.inbound]]\nport = 70000\nwhy = \"x\"",
            "5:8",
            "`firewall.inbound.port` is 70000",
            "from 1 to 65535",
        ),
        (
            "[[firewall.inbound]]\nport = 22\nwhy = \"x\"\nfrom = \"10.0.0.1/8\"",
            "7:8",
            "bits behind the prefix",
            "10.0.0.0/8",
        ),
        (
            "[agent]\nbinary = \"a\"\nsha256 = \"ABC\"",
            "6:10",
            "`agent.sha256` is \"ABC\"",
            "64 lower-case",
        ),
        (
            "[[add_on]]\nname = \"a\"\nwhy = \"x\"\n[[add_on.files]]\npath = \"/x\"",
            "7:1",
            "the file /x needs one of source, content and link",
            "`source` copies a file",
        ),
        (
            "[output]\niaas = [\"awz\"]",
            "5:9",
            "unknown value \"awz\" of `output.iaas`",
            "did you mean `aws`?",
        ),
        (
            "[output]\nformats = [\"qcow\"]",
            "5:12",
            "unknown value \"qcow\" of `output.formats`",
            "did you mean `qcow2`?",
        ),
        (
            "[[output.light]]\niaas = \"aws\"\nimage_id = \"x\"",
            "4:1",
            "has the reference of another infrastructure",
            "aws takes ami",
        ),
        (
            "[[output.light]]\niaas = \"qemu\"\nimage_id = \"x\"",
            "4:1",
            "a light stemcell for qemu does not exist",
            "aws takes ami",
        ),
        (
            "[[output.light]]\niaas = \"aws\"\nami = { eu-west-1 = \"ami-1\" }",
            "4:1",
            "a light stemcell for aws, which is not built for",
            "add \"aws\" to `iaas` in [output]",
        ),
        (
            "roles = [\"mimimal\"]",
            "4:10",
            "unknown role `mimimal`",
            "did you mean `minimal`? looked for mimimal.toml in stemcells/roles and roles",
        ),
        ("include = [\"x.toml\"]", "4:12", "cannot read stemcells/x.toml", "relative to the file"),
    ];
    let minimal = role("");
    let mut wrong = Vec::new();
    for (body, place, message, help) in cases {
        let found = errors(&format!("{body}\n{BASE}"), &[("roles/minimal.toml", &minimal)]);
        let as_wanted = matches!(found.as_slice(), [found]
            if found.starts_with(&format!("stemcells/t.toml:{place}: "))
                && found.contains(message)
                && found.split_once("\n  help: ").is_some_and(|(_, remedy)| remedy.contains(help)));
        if !as_wanted {
            wrong.push(format!("{body}\nwanted {place} {message} {help}\n{found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn errors_of_the_base() {
    let cases = [
        ("", "stemcells/t.toml: the field `base.release` is missing"),
        ("[base]\nrelease = \"bokworm\"", "stemcells/t.toml:5:11: unknown value \"bokworm\""),
        (
            "[base]\ndistribution = \"ubuntu\"\nrelease = \"trixie\"",
            "stemcells/t.toml:5:16: trixie is no release of ubuntu",
        ),
        (
            "[base]\nrelease = \"trixie\"\nmirror = \"ftp://x\"",
            "stemcells/t.toml:6:10: `base.mirror` is \"ftp://x\"",
        ),
        (
            "[base]\nrelease = \"trixie\"\nmirror = \"http://[x/\"",
            "stemcells/t.toml:6:10: \"http://[x/\" is no URL",
        ),
        (
            "[base]\nrelease = \"trixie\"\nmax_age = 3",
            "stemcells/t.toml:6:1: unknown field `max_age`",
        ),
        ("[base\n", "stemcells/t.toml:4:6: "),
    ];
    for (body, message) in cases {
        let found = errors(body, &[]);
        let [found] = found.as_slice() else { panic!("{body}\n{found:#?}") };
        assert!(found.starts_with(message), "{body}\n{found}");
    }
}
