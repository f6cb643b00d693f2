//! Reading a catalogue and choosing from it: what is refused, and how it is said.
#![expect(clippy::tests_outside_test_module, reason = "the whole file is one test program")]

use std::collections::BTreeMap;

use jiff::civil::date;
use stonecell_controls::{Catalogue, Cause, Context, OptOut, SelectError, Want};

const HEAD: &str = "schema = 1\nfamily = \"test\"\ntitle = \"Test\"\n";

/// A control with lines of its own after the required ones, and one want.
fn control(id: &str, more: &str, want: &str) -> String {
    format!(
        "\n[[control]]\nid = \"{id}\"\ntitle = \"A\"\nwhy = \"B.\"\nseverity = \"low\"\nprofiles = [\"stonecell\"]\n{more}\n[[control.want]]\n{want}\n"
    )
}

const SYSCTL: &str = "kind = \"sysctl\"\nkey = \"a.b\"\nvalue = \"1\"";

fn read(body: &str) -> Result<Catalogue, Vec<String>> {
    Catalogue::parse(&[("test.toml", format!("{HEAD}{body}"))])
        .map_err(|faults| faults.0.iter().map(ToString::to_string).collect())
}

#[track_caller]
fn refuses(body: &str, expected: &[&str]) {
    let faults = read(body).expect_err("must be refused").join("\n");
    for part in expected {
        assert!(faults.contains(part), "`{part}` is not in:\n{faults}");
    }
}

#[test]
fn faults_are_said_with_their_line() {
    refuses(
        &control("SC-TST-001", "severty = \"low\"", SYSCTL),
        &["test.toml:11:", "severty", "severity"],
    );
    refuses(
        &control("SC-TST-001", "", "kind = \"sysctl\"\nkeey = \"a\"\nvalue = \"1\""),
        &["test.toml:14:", "did you mean `key`", "missing field"],
    );
    refuses(
        &control("SC-TST-001", "", "kind = \"sysct\""),
        &["test.toml:13:", "did you mean `sysctl`"],
    );
    refuses(
        &control("SC-TST-001", "", "kind = \"sysctl\"\nkey = \"a.b\"\nvalue = 1"),
        &["test.toml:15:", "invalid type"],
    );
    refuses("nonsense", &["test.toml:4:"]);
}

#[test]
fn all_faults_are_said_at_once() {
    let body =
        format!("{}{}", control("SC-TST-001", "a = 1\nb = 2", SYSCTL), control("bad", "", SYSCTL));
    assert_eq!(read(&body).expect_err("refused").len(), 3);
}

#[test]
fn what_belongs_together_is_demanded() {
    let twice = format!("{0}{0}", control("SC-TST-001", "", SYSCTL));
    refuses(&twice, &["SC-TST-001", "already taken"]);
    refuses(&control("SC-TST-001", "except_roles = [\"web\"]", SYSCTL), &["`except_why`"]);
    refuses(
        &control("SC-TST-001", "references = { cis-debian-12 = [\"3,3\"] }", SYSCTL),
        &["3,3", "3.3.5"],
    );
    refuses(
        &control("SC-TST-001", "references = { cis-debian-13 = [\"3.3\"] }", SYSCTL),
        &["did you mean `cis-debian-12`"],
    );
    refuses(
        &control("SC-TST-001", "parameters = { n = { default = 1, why = \"C.\" } }", SYSCTL),
        &["`n` is not used"],
    );
    refuses(
        &control("SC-TST-001", "", &SYSCTL.replace("\"1\"", "\"${n}\"")),
        &["${n}", "`parameters`"],
    );
    refuses(
        &control(
            "SC-TST-001",
            "",
            "kind = \"file\"\npath = \"etc/x\"\ncontent = \"\"\nmode = \"0644\"",
        ),
        &["absolute"],
    );
    refuses(
        &control(
            "SC-TST-001",
            "",
            "kind = \"file\"\npath = \"/etc/x\"\ncontent = \"\"\nmode = \"0999\"",
        ),
        &["octal"],
    );
    refuses(
        &control("SC-TST-001", "", "kind = \"pam\"\nservice = \"su\"\nmodule = \"x\""),
        &["absent_args"],
    );
    refuses(
        &control(
            "SC-TST-001",
            "",
            "kind = \"line\"\npath = \"/x\"\nabsent = true\npattern = \"(\"",
        ),
        &["regular expression"],
    );
}

fn context() -> Context {
    Context {
        profile: "stonecell".to_owned(),
        release: "bookworm".to_owned(),
        ..Context::default()
    }
}

#[test]
fn parameters_are_filled_in_and_may_be_changed() {
    let body = control(
        "SC-TST-001",
        "parameters = { n = { default = 3, why = \"C.\" } }",
        &SYSCTL.replace("\"1\"", "\"${n}\""),
    );
    let catalogue = read(&body).expect("reads");
    let value = |context: &Context| match &catalogue.select(context).expect("selects").controls[0]
        .wants[0]
    {
        Want::Sysctl(want) => want.value.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(value(&context()), "3");
    let mut changed = context();
    let values = BTreeMap::from([("n".to_owned(), "5".to_owned())]);
    changed.parameters.insert("SC-TST-001".to_owned(), values);
    assert_eq!(value(&changed), "5");
    changed.parameters.insert("SC-TST-002".to_owned(), BTreeMap::new());
    assert!(matches!(
        catalogue.select(&changed),
        Err(SelectError::UnknownControl { hint: Some(_), .. })
    ));
}

#[test]
fn what_is_left_out_has_a_cause() {
    let body = [
        control("SC-TST-001", "roles = [\"web\"]", SYSCTL),
        control("SC-TST-002", "except_roles = [\"web\"]\nexcept_why = \"D.\"", SYSCTL),
        control("SC-TST-003", "platforms = [\"bosh\"]", SYSCTL),
        control("SC-TST-004", "releases = [\"trixie\"]", SYSCTL),
        control("SC-TST-005", "", SYSCTL).replace("\"stonecell\"", "\"stig\""),
    ]
    .concat();
    let catalogue = read(&body).expect("reads");
    let mut context = context();
    let causes = |context: &Context| {
        let selection = catalogue.select(context).expect("selects");
        selection
            .left_out
            .into_iter()
            .map(|left_out| (left_out.id, left_out.cause))
            .collect::<BTreeMap<_, _>>()
    };
    let found = causes(&context);
    assert!(matches!(found["SC-TST-001"], Cause::Role { .. }));
    assert!(!found.contains_key("SC-TST-002"));
    assert!(matches!(found["SC-TST-003"], Cause::Platform { .. }));
    assert!(matches!(found["SC-TST-004"], Cause::Release { .. }));
    assert_eq!(found["SC-TST-005"], Cause::Profile);
    context.roles = vec!["web".to_owned()];
    let found = causes(&context);
    assert!(matches!(&found["SC-TST-002"], Cause::ExceptRole { why, .. } if why == "D."));
    assert!(!found.contains_key("SC-TST-001"));
}

#[test]
fn opt_outs_need_a_reason_an_owner_and_a_day_to_come() {
    let catalogue = read(&control("SC-TST-001", "", SYSCTL)).expect("reads");
    let opt_out = OptOut {
        control: "SC-TST-001".to_owned(),
        reason: "a reason".to_owned(),
        owner: "someone".to_owned(),
        expires: date(2027, 1, 1),
    };
    let select = |opt_outs: Vec<OptOut>, today| {
        catalogue.select(&Context { opt_outs, today: Some(today), ..context() })
    };
    let selection = select(vec![opt_out.clone()], date(2026, 12, 31)).expect("selects");
    assert!(selection.controls.is_empty());
    assert!(
        matches!(&selection.left_out[0].cause, Cause::OptOut { owner, .. } if owner == "someone")
    );
    let expired = select(vec![opt_out.clone()], date(2027, 1, 1));
    assert!(matches!(expired, Err(SelectError::ExpiredOptOut { .. })));
    let twice = select(vec![opt_out.clone(), opt_out.clone()], date(2026, 1, 1));
    assert!(matches!(twice, Err(SelectError::DoubleOptOut { .. })));
    let silent = OptOut { reason: " ".to_owned(), ..opt_out.clone() };
    assert!(matches!(
        select(vec![silent], date(2026, 1, 1)),
        Err(SelectError::IncompleteOptOut { field: "reason", .. })
    ));
    let strange = OptOut { control: "SC-TST-009".to_owned(), ..opt_out };
    assert!(matches!(
        select(vec![strange], date(2026, 1, 1)),
        Err(SelectError::UnknownControl { .. })
    ));
}

#[test]
fn contradictions_name_both_controls() {
    let pairs = [
        (SYSCTL.to_owned(), SYSCTL.replace("a.b", "a/b").replace("\"1\"", "\"2\"")),
        (
            "kind = \"command_line\"\nparameter = \"a=1\"".to_owned(),
            "kind = \"command_line\"\nparameter = \"a=2\"".to_owned(),
        ),
        (
            "kind = \"package\"\nname = \"nginx\"\nstate = \"present\"".to_owned(),
            "kind = \"package\"\nname = \"ngin*\"\nstate = \"absent\"".to_owned(),
        ),
        (
            "kind = \"unit\"\nname = \"a.service\"\nstate = \"enabled\"".to_owned(),
            "kind = \"unit\"\nname = \"a.service\"\nstate = \"masked\"".to_owned(),
        ),
        (
            "kind = \"mount\"\ntarget = \"/t\"\noptions = [\"exec\"]".to_owned(),
            "kind = \"mount\"\ntarget = \"/t\"\noptions = [\"noexec\"]".to_owned(),
        ),
        (
            "kind = \"link\"\npath = \"/etc/x\"\ntarget = \"y\"".to_owned(),
            "kind = \"absent\"\npath = \"/etc/*\"".to_owned(),
        ),
    ];
    for (one, other) in pairs {
        let body = control("SC-TST-001", "", &one) + &control("SC-TST-002", "", &other);
        let catalogue = read(&body).expect("reads");
        let error = catalogue.select(&context()).expect_err("contradict each other").to_string();
        assert!(error.contains("SC-TST-001") && error.contains("SC-TST-002"), "{error}");
    }
}

#[test]
fn a_glob_that_cannot_be_read_is_an_error() {
    let absent = "kind = \"absent\"\npath = \"/etc/[\"";
    let catalogue = read(&control("SC-TST-001", "", absent)).expect("reads");
    let error = catalogue.select(&context()).expect_err("no glob");
    let SelectError::BadParameter { id, kind: "absent", reason } = &error else {
        panic!("{error}")
    };
    assert_eq!(id, "SC-TST-001");
    assert!(reason.contains("/etc/["), "{error}");
}

#[test]
fn an_unknown_profile_is_refused_with_a_suggestion() {
    let catalogue = read(&control("SC-TST-001", "", SYSCTL)).expect("reads");
    let error = catalogue.select(&Context { profile: "stonecel".to_owned(), ..context() });
    assert!(error.expect_err("unknown").to_string().contains("did you mean `stonecell`"));
}
