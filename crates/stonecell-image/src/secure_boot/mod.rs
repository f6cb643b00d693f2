//! Secure Boot: Authenticode signatures of PE files, and keys to make them with (ADR 6).

mod content;
mod key;
mod sign;
mod verify;

pub use key::DEVELOPMENT_MARK;
pub use key::DevelopmentKey;
pub use key::GenerateKeysError;
pub use key::KeyError;
pub use key::SigningKey;
pub use key::generate_development_keys;
pub use key::read_certificate;
pub use sign::SignError;
pub use sign::sign_pe;
pub use verify::SignatureError;
pub use verify::verify_signature;
