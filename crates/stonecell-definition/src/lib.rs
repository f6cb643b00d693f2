//! What a stemcell is, as plain data: the definition and its roles, the lock, the manifest, the
//! table of infrastructures.
//!
//! Nothing here reads a clock, a network or (but for [`Disk`]) a file: callers hand in the text and
//! today's date, and get data or errors that name file, line, column and remedy.

mod causes;
pub mod compose;
pub mod definition;
pub mod error;
mod file;
pub mod iaas;
pub mod lock;
mod lock_text;
pub mod manifest;
pub mod release;
pub mod schema;
pub mod size;

pub use causes::{causes, with_causes};
pub use compose::{Disk, Files, load};
pub use definition::Definition;
pub use error::{DefinitionError, DefinitionErrors, Place, nearest};
pub use lock_text::LockError;
