//! What the definition as a whole lacks, and how errors are told.

use std::path::Path;

use jiff::civil::date;
use stonecell_definition::load;

use crate::{BASE, errors, loaded};

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
fn errors_are_data_for_json() {
    let found = loaded(&format!("[packages]\ninstal = []\n{BASE}"), &[]).unwrap_err();
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json[0]["line"], 5);
    assert_eq!(json[0]["column"], 1);
    assert_eq!(json[0]["path"], "stemcells/t.toml");
    assert_eq!(json[0]["snippet"], "instal = []");
    assert_eq!(json[0]["help"], "did you mean `install`?");
}
