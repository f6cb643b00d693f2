//! Bad definitions: each is refused with the place, what was expected and a remedy.

#![expect(clippy::tests_outside_test_module, reason = "the whole file is a test")]

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use jiff::civil::date;
use stonecell_definition::{Definition, DefinitionErrors, Files, load};

/// Files by their path.
struct Tree(BTreeMap<&'static str, String>);

impl Files for Tree {
    fn read(&self, path: &Path) -> io::Result<String> {
        let found = path.to_str().and_then(|path| self.0.get(path));
        found.cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn names(&self, directory: &Path) -> Vec<String> {
        let files = self.0.keys().filter_map(|path| Path::new(path).strip_prefix(directory).ok());
        files.filter_map(|path| path.to_str().map(str::to_owned)).collect()
    }
}

const HEAD: &str = "schema = 1\nname = \"t\"\nversion = \"1.0\"\n";

/// Loads a definition whose first three lines are [`HEAD`], with roles and other files.
fn loaded(body: &str, others: &[(&'static str, &str)]) -> Result<Definition, DefinitionErrors> {
    let mut tree = BTreeMap::from([("stemcells/t.toml", format!("{HEAD}{body}"))]);
    for (path, text) in others {
        tree.insert(path, format!("schema = 1\n{text}"));
    }
    load(Path::new("stemcells/t.toml"), date(2026, 6, 1), &Tree(tree))
}

fn errors(body: &str, others: &[(&'static str, &str)]) -> Vec<String> {
    let errors = loaded(body, others).expect_err("the definition is bad");
    errors.iter().map(ToString::to_string).collect()
}

/// A role with one table.
fn role(text: &str) -> String {
    format!("description = \"d\"\n{text}")
}

const BASE: &str = "[base]\nrelease = \"bookworm\"\n";

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

#[test]
fn what_a_definition_cannot_do_without() {
    let load = |text: &str| {
        let text = text.to_owned();
        load(Path::new("t.toml"), date(2026, 1, 1), &move |_: &Path| Ok(text.clone()))
    };
    let found = load(BASE).unwrap_err().to_string();
    for field in ["schema", "name", "version"] {
        assert!(found.contains(&format!("`{field}` is missing in the definition")), "{found}");
    }
    let found = load(&format!("schema = 2\nname = \"t\"\nversion = \"1\"\n{BASE}"))
        .unwrap_err()
        .to_string();
    assert!(found.contains("t.toml:1:10: `schema` is 2"), "{found}");
    let missing = stonecell_definition::load(
        Path::new("no/where.toml"),
        date(2026, 1, 1),
        &stonecell_definition::Disk,
    );
    assert!(
        missing.unwrap_err().to_string().starts_with("no/where.toml: cannot read the definition")
    );
}

#[test]
fn several_errors_are_found_at_once_in_the_order_of_lines() {
    let body = "naem = 1\nroles = [\"x\"]\n[packages]\ninstal = []\nremove = [1]\n";
    let found = errors(&format!("{body}{BASE}"), &[]);
    let places: Vec<_> = found.iter().map(|error| error.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["stemcells/t.toml:4:1", "stemcells/t.toml:7:1", "stemcells/t.toml:8:11"]);
}

#[test]
fn roles_that_contradict_each_other_are_both_named() {
    let cases = [
        (
            "[packages]\ninstall = [\"nginx\"]",
            "[packages]\nremove = [\"nginx\"]",
            "role `b` removes the package `nginx`, but role `a` installs",
        ),
        (
            "[packages]\ninstall = [\"nginx\"]",
            "[packages]\ndeny = [\"ngin*\"]",
            "role `b` denies `ngin*`, but role `a` installs",
        ),
        (
            "[[add_on]]\nname = \"x\"\nwhy = \"x\"\npackages = [\"nginx\"]",
            "[packages]\nremove = [\"nginx\"]",
            "role `a` installs the package `nginx`, but role `b` removes",
        ),
        (
            "[services]\nenable = [\"ssh\"]",
            "[services]\ndisable = [\"ssh\"]",
            "role `b` disables `ssh.service`, but role `a` enables",
        ),
        (
            "[[firewall.inbound]]\nport = 22\nwhy = \"x\"",
            "[[firewall.deny]]\nport = 22\nwhy = \"y\"",
            "role `b` denies port 22/tcp (y), but role `a` opens port 22/tcp",
        ),
        (
            "[[image.partition]]\nmount = \"/srv\"\nsize = \"1G\"",
            "[[image.partition]]\nmount = \"/srv\"\nsize = \"2G\"",
            "role `b` mounts /srv with 2G",
        ),
        (
            "[[user]]\nname = \"u\"\nuid = 1000",
            "[[user]]\nname = \"u\"\nuid = 1001",
            "role `b` has a user `u` with uid 1001",
        ),
        (
            "[[group]]\nname = \"u\"\ngid = 1000",
            "[[group]]\nname = \"u\"\ngid = 1001",
            "role `b` has a group `u` with gid 1001",
        ),
        (
            "[[etc.mutable]]\npath = \"/etc/x\"\nkind = \"run\"",
            "[[etc.mutable]]\npath = \"/etc/x\"\nkind = \"kept\"",
            "role `b` keeps /etc/x, but role `a` makes anew",
        ),
        ("[image]\nab = true", "[image]\nab = false", "role `b` sets `image.ab` differently"),
        (
            "[[add_on]]\nname = \"x\"\nwhy = \"x\"\nfiles = [{ path = \"/x\", content = \"1\" }]",
            "[[add_on]]\nname = \"y\"\nwhy = \"x\"\nfiles = [{ path = \"/x\", content = \"2\" }]",
            "has the file /x with other content in add-on `y`",
        ),
        (
            "[[controls.parameter]]\ncontrol = \"SC-PAM-001\"\nname = \"deny\"\nvalue = \"3\"\nreason = \"a reason that says something\"",
            "[[controls.parameter]]\ncontrol = \"SC-PAM-001\"\nname = \"deny\"\nvalue = \"5\"\nreason = \"a reason that says something\"",
            "role `b` sets `deny` of SC-PAM-001 to \"5\", but role `a` sets",
        ),
    ];
    for (a, b, message) in cases {
        let (a, b) = (role(a), role(b));
        let others = [("roles/a.toml", a.as_str()), ("roles/b.toml", b.as_str())];
        let found = errors(&format!("roles = [\"a\", \"b\"]\n{BASE}"), &others);
        let [found] = found.as_slice() else { panic!("{b}\n{found:#?}") };
        assert!(found.contains(message), "wanted {message}\n{found}");
        for file in ["roles/a.toml:", "roles/b.toml:", "decide in the definition"] {
            assert!(found.contains(file), "wanted {file}\n{found}");
        }
        // The same twice is no contradiction.
        let others = [("roles/a.toml", a.as_str()), ("roles/b.toml", a.as_str())];
        loaded(&format!("roles = [\"a\", \"b\"]\n{BASE}"), &others).unwrap();
    }
}

#[test]
fn a_role_has_no_fields_of_a_definition() {
    let bad = role("version = \"1\"\n[base]\nrelease = \"bookworm\"\n[signing]\n");
    let found = errors(&format!("roles = [\"a\"]\n{BASE}"), &[("roles/a.toml", &bad)]);
    assert_eq!(found.len(), 3, "{found:#?}");
    for error in found {
        assert!(error.contains("this belongs to the definition"), "{error}");
    }
}

#[test]
fn includes_in_a_circle_are_refused() {
    let others = [
        ("stemcells/a.toml", "include = [\"b.toml\"]"),
        ("stemcells/b.toml", "include = [\"../stemcells/a.toml\"]"),
    ];
    let found = errors(&format!("include = [\"a.toml\"]\n{BASE}"), &others);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("stemcells/b.toml:2:12: "), "{}", found[0]);
    assert!(found[0].contains("includes itself"), "{}", found[0]);
    let own = errors(&format!("include = [\"t.toml\"]\n{BASE}"), &[]);
    assert!(own[0].contains("includes itself"), "{}", own[0]);
}

#[test]
fn errors_are_data_for_json() {
    let found = loaded(&format!("[packages]\ninstal = []\n{BASE}"), &[]).unwrap_err();
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json[0]["line"], 5);
    assert_eq!(json[0]["column"], 1);
    assert_eq!(json[0]["path"], "stemcells/t.toml");
    assert_eq!(json[0]["snippet"], "instal = []");
    assert_eq!(json[0]["help"], "did you mean `install`?");
}

#[test]
fn a_refining_role_still_contradicts_a_third_one_and_one_that_refines_it_back() {
    let minimal = role("[packages]\ninstall = [\"ntp\"]");
    let bosh = role("refines = [\"minimal\"]\n[packages]\nremove = [\"ntp\"]");
    let third = role("[packages]\ninstall = [\"ntp\"]");
    let found = errors(
        &format!("roles = [\"minimal\", \"bosh\", \"third\"]\n{BASE}"),
        &[
            ("roles/minimal.toml", &minimal),
            ("roles/bosh.toml", &bosh),
            ("roles/third.toml", &third),
        ],
    );
    assert!(found[0].contains("role `third` installs the package `ntp`"), "{found:?}");
    let back = role("refines = [\"bosh\"]\n[packages]\ninstall = [\"ntp\"]");
    let found = errors(
        &format!("roles = [\"minimal\", \"bosh\"]\n{BASE}"),
        &[("roles/minimal.toml", &back), ("roles/bosh.toml", &bosh)],
    );
    assert!(found[0].contains("the package `ntp`"), "{found:?}");
}
