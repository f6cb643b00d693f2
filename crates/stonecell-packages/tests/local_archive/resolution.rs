//! Which packages a request brings, and what is said when it brings none.

use stonecell_packages::{Request, Resolution, ResolveError, Silent, Synthetic};

use crate::repository::{Repository, open, request};

fn resolve(repository: &Repository, request: &Request) -> Result<Resolution, ResolveError> {
    repository.open().expect("accepted").resolve(request, &Silent)
}

fn names(resolution: &Resolution) -> Vec<&str> {
    resolution.packages.iter().map(|package| package.name.as_str()).collect()
}

fn message(repository: &Repository, request: &Request) -> String {
    resolve(repository, request).expect_err("no solution").to_string()
}

#[test]
fn dependencies_come_along() {
    let repository = Repository::of(&[
        ("app", "Depends: lib (>= 1)\nRecommends: docs\nSource: application (0.9)"),
        ("lib", "Pre-Depends: base"),
        ("base", ""),
        ("docs", ""),
        ("other", ""),
    ]);
    let mut request = request(&["app"]);
    let resolution = resolve(&repository, &request).expect("a solution");
    assert_eq!(names(&resolution), ["app", "base", "lib"]);
    let app = &resolution.packages[0];
    assert_eq!((app.source.as_str(), app.source_version.as_str()), ("application", "0.9"));
    request.recommends = true;
    let resolution = resolve(&repository, &request).expect("a solution");
    assert_eq!(names(&resolution), ["app", "base", "docs", "lib"]);
}

#[test]
fn essential_packages_and_what_they_need_are_marked() {
    let repository = Repository::of(&[
        ("shell", "Essential: yes\nDepends: lib | other"),
        ("lib", ""),
        ("other", ""),
        ("app", ""),
    ]);
    let request = Request { essential: true, ..request(&["app"]) };
    let resolution = resolve(&repository, &request).expect("a solution");
    let essential: Vec<_> =
        resolution.packages.iter().map(|p| (p.name.as_str(), p.essential)).collect();
    assert_eq!(essential, [("app", false), ("lib", true), ("shell", true)]);
    let without = Request { remove: vec!["shell".into()], ..request };
    assert_eq!(names(&resolve(&repository, &without).expect("a solution")), ["app"]);
}

#[test]
fn a_missing_package_is_named_with_what_is_like_it() {
    let repository = Repository::of(&[("openssh-server", ""), ("bash", "")]);
    let words = message(&repository, &request(&["openssh-sever"]));
    assert_eq!(
        words,
        "there is no package `openssh-sever` in bookworm; did you mean `openssh-server`?"
    );
    assert!(message(&repository, &request(&["zzz"])).ends_with("in bookworm"));
}

#[test]
fn names_cannot_be_options_or_patterns() {
    let repository = Repository::of(&[("bash", "")]);
    for name in ["-oDir::Etc=/", "bash-", "ba*", "bash=1", "bash/x", "", "../x"] {
        let error = resolve(&repository, &request(&[name])).expect_err("not a name");
        assert!(matches!(error, ResolveError::Name { .. }), "{name}: {error}");
    }
}

#[test]
fn an_unsatisfiable_dependency_is_traced() {
    let repository = Repository::of(&[
        ("app", "Depends: middle"),
        ("middle", "Depends: lib (>= 2)"),
        ("lib", "Version: 1.5"),
    ]);
    assert_eq!(
        message(&repository, &request(&["app"])),
        "package `middle` needs `lib (>= 2)`, but the archive has lib 1.5 (asked for by app -> middle)"
    );
    let repository = Repository::of(&[("app", "Depends: gone | gone-too")]);
    assert_eq!(
        message(&repository, &request(&["app"])),
        "package `app` needs `gone | gone-too`, but the archive has no such package"
    );
}

#[test]
fn a_conflict_is_told_in_apt_s_words() {
    let repository = Repository::of(&[("a", "Conflicts: b"), ("b", "")]);
    let error = resolve(&repository, &request(&["a", "b"])).expect_err("a conflict");
    assert!(matches!(error, ResolveError::Conflict { .. }), "{error:?}");
    assert!(error.to_string().contains("a: Conflicts: b"), "{error}");
}

#[test]
fn a_denied_package_that_is_needed_is_traced() {
    let repository = Repository::of(&[
        ("app", "Depends: middle"),
        ("middle", "Depends: python3-x"),
        ("python3-x", ""),
    ]);
    let denying = Request { deny: vec!["python3*".into()], ..request(&["app"]) };
    assert_eq!(
        message(&repository, &denying),
        "package `python3-x` matches `python3*` in `deny`, yet it is needed: app -> middle -> \
         python3-x; drop the rule, or what asks for the package"
    );
    let removing = Request { remove: vec!["python3-x".into()], ..request(&["app"]) };
    assert!(message(&repository, &removing).contains("in `remove`"));
    let asked = Request { deny: vec!["app".into()], ..request(&["app"]) };
    assert!(message(&repository, &asked).contains("app (asked for)"));
}

#[test]
fn a_denied_alternative_is_avoided() {
    let repository = Repository::of(&[
        ("app", "Depends: big | small\nRecommends: extra"),
        ("big", ""),
        ("small", ""),
        ("extra", ""),
    ]);
    let mut request = Request { recommends: true, ..request(&["app", "extra"]) };
    let all = resolve(&repository, &request).expect("a solution");
    assert_eq!(names(&all), ["app", "big", "extra"]);
    request.deny = vec!["big".into()];
    request.remove = vec!["extra".into()];
    let some = resolve(&repository, &request).expect("a solution");
    assert_eq!(names(&some), ["app", "small"]);
}

#[test]
fn a_synthetic_package_stands_in() {
    let repository = Repository::of(&[
        ("linux-image", "Depends: initramfs-tools | linux-initramfs-tool"),
        ("initramfs-tools", ""),
    ]);
    let mut request = request(&["linux-image"]);
    let without = resolve(&repository, &request).expect("a solution");
    assert_eq!(names(&without), ["initramfs-tools", "linux-image"]);
    let own = Synthetic {
        name: "own-initrd".into(),
        version: "1".into(),
        provides: vec!["linux-initramfs-tool".into()],
    };
    request.synthetic = vec![own.clone()];
    let with = resolve(&repository, &request).expect("a solution");
    assert_eq!(names(&with), ["linux-image"]);
    assert_eq!(with.synthetic, [own]);
    request.synthetic[0].version = "1\nEssential: yes".into();
    assert!(matches!(resolve(&repository, &request), Err(ResolveError::Synthetic { .. })));
}

#[test]
fn a_virtual_package_needs_one_provider() {
    let repository = Repository::of(&[
        ("exim", "Provides: mta"),
        ("postfix", "Provides: mta"),
        ("x", "Provides: y"),
    ]);
    assert_eq!(names(&resolve(&repository, &request(&["y"])).expect("a solution")), ["x"]);
    assert_eq!(
        message(&repository, &request(&["mta"])),
        "`mta` is provided by several packages; ask for one of exim, postfix"
    );
    let denying = Request { deny: vec!["exim".into()], ..request(&["mta"]) };
    assert_eq!(names(&resolve(&repository, &denying).expect("a solution")), ["postfix"]);
}

#[test]
fn a_dependency_on_a_virtual_package_is_followed() {
    let repository = Repository::of(&[
        ("app", "Depends: service (>= 2)"),
        ("old", "Provides: service (= 1)"),
        ("new", "Provides: service (= 2)\nDepends: lib"),
        ("lib", ""),
    ]);
    let resolution = resolve(&repository, &request(&["app"])).expect("a solution");
    assert_eq!(names(&resolution), ["app", "lib", "new"]);
}

#[test]
fn tools_are_pinned_alone() {
    let repository = Repository::of(&[("app", ""), ("stub", "Depends: lib"), ("lib", "")]);
    let mut request = Request { tools: vec!["stub".into()], ..request(&["app"]) };
    let resolution = resolve(&repository, &request).expect("a solution");
    assert_eq!(names(&resolution), ["app"]);
    assert_eq!(resolution.tools[0].name, "stub");
    request.tools = vec!["stab".into()];
    assert!(matches!(resolve(&repository, &request), Err(ResolveError::Missing { .. })));
}

#[test]
fn the_newest_version_of_the_automatic_suites_wins() {
    let mut repository = Repository::new();
    repository.add("bookworm", "lib", "Version: 1");
    repository.add("bookworm-security", "lib", "Version: 1+deb12u1");
    repository.add("bookworm-backports", "lib", "Version: 2");
    repository.publish("bookworm", "");
    repository.publish("bookworm-security", "");
    repository.publish("bookworm-backports", "NotAutomatic: yes\nButAutomaticUpgrades: yes\n");
    let suites = ["bookworm", "bookworm-security", "bookworm-backports"];
    let sources = repository.sources_at(&repository.url(), &suites);
    let archive = open(&sources, &repository.cache()).expect("accepted");
    let request = Request { tools: vec!["lib".into()], ..request(&["lib"]) };
    let resolution = archive.resolve(&request, &Silent).expect("a solution");
    for lib in [&resolution.packages[0], &resolution.tools[0]] {
        assert_eq!(lib.version, "1+deb12u1");
        assert_eq!(lib.suite, "bookworm-security");
    }
}
