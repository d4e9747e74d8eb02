//! Filling templates in: what is text is escaped, each place is filled once, and what was filled in is never looked at again.

/// What stands in a place of a template.
pub(super) enum Part<'a> {
    /// For people: escaped, in attributes with double quotes too.
    Text(&'a str),
    /// Markup of our own.
    Html(&'a str),
}

/// `template` with its places, `{{name}}`, filled in.
///
/// # Panics
/// On a place that `parts` does not name, which any test of the page finds.
pub(super) fn fill(template: &str, parts: &[(&str, Part<'_>)]) -> String {
    let mut out = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once("{{") {
        let (name, behind) = behind.split_once("}}").expect("a place has an end");
        out.push_str(before);
        let part = parts.iter().find(|(known, _)| *known == name);
        match part.map(|(_, part)| part) {
            Some(Part::Text(text)) => escape(text, &mut out),
            Some(Part::Html(html)) => out.push_str(html),
            None => panic!("nothing is known of {name}"),
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// Text as it stands in HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::new();
    escape(text, &mut out);
    out
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_never_filled_in_again() {
        let parts = [
            ("a", Part::Text("<{{b}}> & \"'")),
            ("b", Part::Html("<br>")),
        ];
        let expected = "x &lt;{{b}}&gt; &amp; &quot;&#39; <br>";
        assert_eq!(fill("x {{a}} {{b}}", &parts), expected);
    }
}
