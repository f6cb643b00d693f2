//! Who decides what, when several files speak about the same thing.
//!
//! Roles are equals: two that disagree are an error, unless one says that it refines the other, or an
//! included file or the definition itself decides. Included files outrank roles, later ones outrank earlier ones, and the definition outranks
//! all. One file may not contradict itself.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::error::{DefinitionError, Place};
use crate::file::{File, Source, text::At};

/// A file and its rank; all roles have rank 0.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) source: Source,
    pub(super) rank: usize,
}

impl Layer {
    /// Whether this file's word stands where the two disagree.
    pub(super) fn outranks(&self, other: &Self) -> bool {
        self.rank > other.rank
            || (self.rank == other.rank && self.refines(other) && !other.refines(self))
    }

    fn refines(&self, other: &Self) -> bool {
        let name = other.source.path.file_stem().unwrap_or_default();
        self.source.file.refines.iter().any(|role| name == role.value.0.as_str())
    }
}

/// What one file says about one thing.
#[derive(Debug, Clone)]
pub(super) struct Word<'a, V> {
    pub(super) value: V,
    pub(super) layer: &'a Layer,
    pub(super) span: Range<usize>,
}

impl<'a, V> Word<'a, V> {
    pub(super) fn place(&self) -> Place {
        self.layer.source.place(&self.span)
    }

    pub(super) fn map<W>(self, change: impl FnOnce(V) -> W) -> Word<'a, W> {
        Word { value: change(self.value), layer: self.layer, span: self.span }
    }
}

/// All layers, from the lowest rank to the highest.
#[derive(Debug)]
pub(super) struct Layers(pub(super) Vec<Layer>);

impl Layers {
    /// Every entry of one list of every file.
    pub(super) fn each<'a, T: 'a>(
        &'a self,
        pick: impl Fn(&'a File) -> &'a [At<T>] + 'a,
    ) -> impl Iterator<Item = Word<'a, &'a T>> {
        self.0.iter().flat_map(move |layer| {
            pick(&layer.source.file).iter().map(move |at| Word {
                value: &at.value,
                layer,
                span: at.span.clone(),
            })
        })
    }

    /// The word of every file that has this field.
    pub(super) fn field<'a, T: 'a>(
        &'a self,
        pick: impl Fn(&'a File) -> Option<&'a At<T>> + 'a,
    ) -> impl Iterator<Item = Word<'a, &'a T>> {
        self.each(move |file| pick(file).map_or(&[], std::slice::from_ref))
    }
}

/// Errors found while composing.
pub(super) type Errors = Vec<DefinitionError>;

/// For each key, the words of the files that no other one which speaks of it outranks. Where those do not `agree`, an error
/// says what each of them does (`tell`: "installs `nginx`").
pub(super) fn settle<'a, K: Ord, V>(
    words: impl IntoIterator<Item = (K, Word<'a, V>)>,
    agree: impl Fn(&V, &V) -> bool,
    tell: impl Fn(&K, &V) -> String,
    errors: &mut Errors,
) -> BTreeMap<K, Vec<Word<'a, V>>> {
    let mut settled: BTreeMap<K, Vec<Word<'a, V>>> = BTreeMap::new();
    for (key, word) in words {
        settled.entry(key).or_default().push(word);
    }
    for words in settled.values_mut() {
        let layers: Vec<&Layer> = words.iter().map(|word| word.layer).collect();
        let outranked = |layer: &Layer| layers.iter().any(|other| other.outranks(layer));
        // Roles that refine each other in a circle are equals.
        if !layers.iter().all(|layer| outranked(layer)) {
            words.retain(|word| !outranked(word.layer));
        }
    }
    for (key, winners) in &settled {
        let Some((first, others)) = winners.split_first() else { continue };
        if let Some(other) = others.iter().find(|other| !agree(&first.value, &other.value)) {
            errors.push(contradiction(
                first,
                &tell(key, &first.value),
                other,
                &tell(key, &other.value),
            ));
        }
    }
    settled
}

/// The error of two files, or two lines of one file, that disagree.
pub(super) fn contradiction<V, W>(
    one: &Word<'_, V>,
    does: &str,
    other: &Word<'_, W>,
    other_does: &str,
) -> DefinitionError {
    let same_file = std::ptr::eq(one.layer, other.layer);
    let help = if same_file {
        "keep one of the two"
    } else {
        "change one of the two, or decide in the definition: its word wins over its roles"
    };
    let message = if same_file {
        format!("{} {other_does}, and also {does}", other.layer.source.title())
    } else {
        format!(
            "{} {other_does}, but {} {does}",
            other.layer.source.title(),
            one.layer.source.title()
        )
    };
    DefinitionError::new(other.place(), message)
        .help(help)
        .related(one.place(), format!("{} {does} here", one.layer.source.title()))
}

/// The last word on a single field, if any file speaks of it.
pub(super) fn last<'a, V: PartialEq>(
    name: &str,
    words: impl Iterator<Item = Word<'a, V>>,
    errors: &mut Errors,
) -> Option<Word<'a, V>> {
    let tell = |_: &(), _: &V| format!("sets `{name}` differently");
    let words = words.map(|word| ((), word));
    settle(words, V::eq, tell, errors).remove(&()).and_then(|words| words.into_iter().next())
}
