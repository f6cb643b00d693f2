//! What caused an error. No message repeats its cause: whoever shows the error to a person shows the causes with it.

use std::error::Error;

/// What caused an error, the nearest cause first.
pub fn causes<'a>(error: &'a dyn Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

/// An error with its causes, on one line.
pub fn with_causes(error: &dyn Error) -> String {
    causes(error).fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot start")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("no engine")]
    struct Inner(#[source] std::fmt::Error);

    #[test]
    fn every_cause_is_told_once_the_nearest_first() {
        let error = Outer(Inner(std::fmt::Error));
        assert_eq!(with_causes(&error), format!("cannot start: no engine: {}", std::fmt::Error));
        assert_eq!(causes(&error).count(), 2);
    }
}
