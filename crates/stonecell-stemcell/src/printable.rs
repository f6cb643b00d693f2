//! Text of an image on its way to a terminal: it must not steer it, nor look like a line of ours.

/// `text` with a question mark for every control character, line ends too, and for the marks that reorder
/// what follows them.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || reorders(c) { '?' } else { c }).collect()
}

/// Bidirectional embeddings, overrides and isolates: with them a line reads other than it is.
fn reorders(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_image_steers_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\n\u{9b}c\u{202e}d"), "a?[2Jb??c?d");
        assert_eq!(printable("größe 1 µs"), "größe 1 µs");
    }
}
