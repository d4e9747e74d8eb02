//! PRECIS: the two string classes of RFC 8264 and the two profiles of RFC 8265 that JIDs need.
//!
//! The classes are computed from Unicode's properties as RFC 8264 §8 says, with the same tables that `idna` uses: the
//! tables that IANA printed end at Unicode 6.3, and refuse every letter and emoji that is younger.

use std::borrow::Cow;

use icu_normalizer::{ComposingNormalizer, ComposingNormalizerBorrowed};
use icu_properties::props::{
    BidiClass, CanonicalCombiningClass, DefaultIgnorableCodePoint, GeneralCategory,
    HangulSyllableType, JoiningType, NoncharacterCodePoint, Script,
};
use icu_properties::{CodePointMapData, CodePointSetData};

const NFC: ComposingNormalizerBorrowed<'static> = ComposingNormalizer::new_nfc();
const NFKC: ComposingNormalizerBorrowed<'static> = ComposingNormalizer::new_nfkc();
const CATEGORY: icu_properties::CodePointMapDataBorrowed<'static, GeneralCategory> =
    CodePointMapData::<GeneralCategory>::new();

/// The profile `UsernameCaseMapped`, RFC 8265 §3.3.2, applied once. `None`: refused.
pub(super) fn username_case_mapped(s: &str) -> Option<String> {
    let wide = map_width(s);
    if !is_identifier(&wide) {
        return None;
    }
    // Letter by letter: a sigma at the end of a word is not told apart, so that no prefix changes what stands before it.
    let lower: String = wide.chars().flat_map(char::to_lowercase).collect();
    let normal = NFC.normalize(&lower).into_owned();
    (!normal.is_empty() && obeys_bidi_rule(&normal)).then_some(normal)
}

/// The profile `OpaqueString`, RFC 8265 §4.2.2, applied once. `None`: refused.
pub(super) fn opaque_string(s: &str) -> Option<String> {
    if !consists_of(s, true) {
        return None;
    }
    let normal = NFC.normalize(&spaces_mapped(s)).into_owned();
    (!normal.is_empty()).then_some(normal)
}

/// A text with every sort of space as the usual one.
pub(super) fn spaces_mapped(s: &str) -> String {
    let spaced = s.chars().map(|c| match CATEGORY.get(c) {
        GeneralCategory::SpaceSeparator => ' ',
        _ => c,
    });
    spaced.collect()
}

/// Normalization Form KC.
pub(super) fn nfkc(s: &str) -> String {
    NFKC.normalize(s).into_owned()
}

/// Whether a text is of the IdentifierClass, RFC 8264 §4.2: also what IDNA2008 asks of a U-label's characters.
pub(super) fn is_identifier(s: &str) -> bool {
    consists_of(s, false)
}

/// RFC 8265 §3.3.2, first rule: full-width and half-width characters become their usual forms. All of them stand in one
/// block, but for the ideographic space.
fn map_width(s: &str) -> Cow<'_, str> {
    let is_wide = |c| matches!(c, '\u{3000}' | '\u{ff01}'..='\u{ffee}');
    if !s.contains(is_wide) {
        return Cow::Borrowed(s);
    }
    let mut out = String::with_capacity(s.len());
    for c in s.chars() {
        if is_wide(c) {
            out.push_str(&NFKC.normalize(c.encode_utf8(&mut [0; 4])));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// What RFC 8264 §8 derives for a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// In both string classes.
    Valid,
    /// In the FreeformClass only.
    Freeform,
    /// In both, where RFC 5892 appendix A allows it.
    Context,
    /// In neither, or not assigned.
    Never,
}

/// RFC 8264 §8, in its order.
fn class(c: char) -> Class {
    use GeneralCategory as G;
    match c {
        // §9.6: exceptions.
        '\u{df}' | '\u{3c2}' | '\u{6fd}' | '\u{6fe}' | '\u{f0b}' | '\u{3007}' => {
            return Class::Valid;
        }
        '\u{b7}' | '\u{375}' | '\u{5f3}' | '\u{5f4}' | '\u{30fb}' => return Class::Context,
        '\u{660}'..='\u{669}' | '\u{6f0}'..='\u{6f9}' => return Class::Context,
        '\u{640}' | '\u{7fa}' | '\u{302e}' | '\u{302f}' | '\u{3031}'..='\u{3035}' | '\u{303b}' => {
            return Class::Never;
        }
        // §9.11: ASCII.
        '!'..='~' => return Class::Valid,
        // §9.8: join controls.
        '\u{200c}' | '\u{200d}' => return Class::Context,
        _ => {}
    }
    let category = CATEGORY.get(c);
    // §9.10 unassigned, §9.12 controls, and what no later rule lets in.
    if matches!(
        category,
        G::Unassigned
            | G::Control
            | G::Format
            | G::PrivateUse
            | G::Surrogate
            | G::LineSeparator
            | G::ParagraphSeparator
    ) {
        return Class::Never;
    }
    // §9.9: old Hangul jamo.
    if matches!(
        CodePointMapData::<HangulSyllableType>::new().get(c),
        HangulSyllableType::LeadingJamo
            | HangulSyllableType::VowelJamo
            | HangulSyllableType::TrailingJamo
    ) {
        return Class::Never;
    }
    // §9.13: what is not displayed.
    if CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
        || CodePointSetData::new::<NoncharacterCodePoint>().contains(c)
    {
        return Class::Never;
    }
    // §9.17: what has a compatible equivalent.
    let mut buffer = [0; 4];
    let alone: &str = c.encode_utf8(&mut buffer);
    if !NFKC.is_normalized(alone) {
        return Class::Freeform;
    }
    match category {
        // §9.1: letters and digits.
        G::LowercaseLetter
        | G::UppercaseLetter
        | G::OtherLetter
        | G::DecimalNumber
        | G::ModifierLetter
        | G::NonspacingMark
        | G::SpacingMark => Class::Valid,
        // §9.14 spaces, §9.15 symbols, §9.16 punctuation, §9.18 other letters and digits.
        _ => Class::Freeform,
    }
}

fn consists_of(s: &str, freeform: bool) -> bool {
    let mut in_context = false;
    for c in s.chars() {
        match class(c) {
            Class::Valid => {}
            Class::Freeform if freeform => {}
            Class::Context => in_context = true,
            Class::Freeform | Class::Never => return false,
        }
    }
    !in_context || obeys_context_rules(&s.chars().collect::<Vec<_>>())
}

/// RFC 5892 appendix A. One pass: each rule looks at neighbours, or at a fact about the whole text.
fn obeys_context_rules(text: &[char]) -> bool {
    let script = CodePointMapData::<Script>::new();
    let virama = |c: &char| {
        CodePointMapData::<CanonicalCombiningClass>::new().get(*c)
            == CanonicalCombiningClass::Virama
    };
    let arabic_digits = text.iter().any(|c| matches!(c, '\u{660}'..='\u{669}'));
    let extended_digits = text.iter().any(|c| matches!(c, '\u{6f0}'..='\u{6f9}'));
    text.iter().enumerate().all(|(i, c)| {
        let (before, after) = (&text[..i], &text[i + 1..]);
        match c {
            // A.1: zero width non-joiner.
            '\u{200c}' => before.last().is_some_and(virama) || joins(before, after),
            // A.2: zero width joiner.
            '\u{200d}' => before.last().is_some_and(virama),
            // A.3: middle dot, as in Catalan.
            '\u{b7}' => before.last() == Some(&'l') && after.first() == Some(&'l'),
            // A.4: Greek keraia.
            '\u{375}' => after
                .first()
                .is_some_and(|c| script.get(*c) == Script::Greek),
            // A.5, A.6: Hebrew geresh and gershayim.
            '\u{5f3}' | '\u{5f4}' => before
                .last()
                .is_some_and(|c| script.get(*c) == Script::Hebrew),
            // A.8, A.9: the two sorts of Arabic digits do not meet.
            '\u{660}'..='\u{669}' | '\u{6f0}'..='\u{6f9}' => !(arabic_digits && extended_digits),
            _ => true,
        }
    }) && (!text.contains(&'\u{30fb}')
        // A.7: Katakana middle dot.
        || text.iter().any(|c| {
            matches!(script.get(*c), Script::Hiragana | Script::Katakana | Script::Han)
        }))
}

/// RFC 5892 appendix A.1: whether the letters around a non-joiner would join.
fn joins(before: &[char], after: &[char]) -> bool {
    let joining = CodePointMapData::<JoiningType>::new();
    let visible = |c: &&char| joining.get(**c) != JoiningType::Transparent;
    let left = before.iter().rev().find(visible).map(|c| joining.get(*c));
    let right = after.iter().find(visible).map(|c| joining.get(*c));
    matches!(
        left,
        Some(JoiningType::LeftJoining | JoiningType::DualJoining)
    ) && matches!(
        right,
        Some(JoiningType::RightJoining | JoiningType::DualJoining)
    )
}

/// RFC 5893 §2, if there are right-to-left characters at all.
fn obeys_bidi_rule(s: &str) -> bool {
    let bidi = CodePointMapData::<BidiClass>::new();
    let of = |c| bidi.get(c);
    let is_rtl = |b| {
        matches!(
            b,
            BidiClass::RightToLeft | BidiClass::ArabicLetter | BidiClass::ArabicNumber
        )
    };
    if !s.chars().any(|c| is_rtl(of(c))) {
        return true;
    }
    // Conditions 1 and 5: a text with right-to-left characters begins with one; one that begins left-to-right has none.
    if !matches!(
        s.chars().next().map(of),
        Some(BidiClass::RightToLeft | BidiClass::ArabicLetter)
    ) {
        return false;
    }
    // Condition 2.
    let (mut european, mut arabic) = (false, false);
    for c in s.chars() {
        match of(c) {
            BidiClass::EuropeanNumber => european = true,
            BidiClass::ArabicNumber => arabic = true,
            BidiClass::RightToLeft
            | BidiClass::ArabicLetter
            | BidiClass::EuropeanSeparator
            | BidiClass::CommonSeparator
            | BidiClass::EuropeanTerminator
            | BidiClass::OtherNeutral
            | BidiClass::BoundaryNeutral
            | BidiClass::NonspacingMark => {}
            _ => return false,
        }
    }
    // Condition 3.
    let last = s
        .chars()
        .rev()
        .map(of)
        .find(|b| *b != BidiClass::NonspacingMark);
    let ends = last.is_some_and(|b| is_rtl(b) || b == BidiClass::EuropeanNumber);
    // Condition 4.
    ends && !(european && arabic)
}
