//! The catalogue that ships with the program.

use stonecell_controls::Catalogue;

#[test]
fn the_shipped_catalogue_can_be_read() {
    match Catalogue::embedded() {
        Ok(catalogue) => assert!(catalogue.controls().count() > 0),
        Err(faults) => panic!("{faults}"),
    }
}
