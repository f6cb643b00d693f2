//! The catalogue as JSON, for `stonecell controls --json` and for documents made from it.

use serde_json::{Value, json};

use crate::catalogue::Catalogue;

impl Catalogue {
    /// Everything: families, controls, wants, references, and the counts by family.
    ///
    /// # Errors
    /// Never for a catalogue that was read; serde's interface wants it said.
    pub fn to_json(&self) -> Result<Value, serde_json::Error> {
        let counts = self.counts();
        Ok(json!({
            "schema": 1,
            "total": counts.values().sum::<usize>(),
            "counts": counts,
            "families": serde_json::to_value(&self.families)?,
        }))
    }
}
