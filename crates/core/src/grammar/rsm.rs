//! XEP-0059 1.0: paging through ordered results. Complete.

use std::ops::Range;

use crate::StanzaError;
use crate::xml::{Element, XmlWriter};

/// The namespace of `<set/>`.
pub const NS: &str = "http://jabber.org/protocol/rsm";

/// Which page is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Page {
    /// The first one (§2.2).
    #[default]
    First,
    /// What follows the item with this id (§2.2).
    After(String),
    /// What stands before the item with this id, nearest to it (§2.3).
    Before(String),
    /// The last one (§2.5).
    Last,
    /// From the item with this number on, counted from 0 (§2.6).
    Index(u32),
}

/// A request for a page.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RsmRequest {
    /// At most so many items; 0 asks only how many there are (§2.7). `None`: as many as the answerer likes.
    pub max: Option<u32>,
    /// Which.
    pub page: Page,
}

/// What a page was: written behind its items.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RsmResult {
    /// The id of the first item on the page, with its number in the whole if known. `None`: the page is empty.
    pub first: Option<(String, Option<u32>)>,
    /// The id of the last item on the page.
    pub last: Option<String>,
    /// How many items there are in the whole, if known.
    pub count: Option<u32>,
}

impl RsmRequest {
    /// Reads the `<set/>` child of a request. `None`: there is none, and the answer needs no `<set/>` either.
    ///
    /// # Errors
    /// `bad-request`: a number that is none, or more than one way of choosing the page.
    pub fn parse_child(parent: Element<'_>) -> Result<Option<RsmRequest>, StanzaError> {
        parent.child("set", NS).map(RsmRequest::parse).transpose()
    }

    /// Reads a `<set/>`.
    ///
    /// # Errors
    /// As [`RsmRequest::parse_child`].
    pub fn parse(set: Element<'_>) -> Result<RsmRequest, StanzaError> {
        let mut request = RsmRequest::default();
        for child in set.children().filter(|c| c.ns() == NS) {
            let page = match child.name() {
                "max" => {
                    request.max = Some(number(child)?);
                    continue;
                }
                "after" => Page::After(child.text().into_owned()),
                "before" if child.text().is_empty() => Page::Last,
                "before" => Page::Before(child.text().into_owned()),
                "index" => Page::Index(number(child)?),
                _ => continue,
            };
            if request.page != Page::First {
                return Err(StanzaError::bad_request().text("More than one page is asked for."));
            }
            request.page = page;
        }
        Ok(request)
    }

    /// Chooses the page out of a whole list, `most` items at the most, and says what it was.
    ///
    /// # Errors
    /// `item-not-found` if the id that the page hangs on is not in the list (§2.2).
    pub fn choose<T>(
        &self,
        items: &[T],
        most: u32,
        id: impl Fn(&T) -> &str,
    ) -> Result<(Range<usize>, RsmResult), StanzaError> {
        let size = self.max.unwrap_or(most).min(most) as usize;
        let position = |wanted: &str| {
            items
                .iter()
                .position(|item| id(item) == wanted)
                .ok_or_else(StanzaError::item_not_found)
        };
        let forward = |from: usize| from..from.saturating_add(size).min(items.len());
        let backward = |to: usize| to.saturating_sub(size)..to;
        let range = match &self.page {
            // §2.7: a request for the count names no page.
            _ if self.max == Some(0) => 0..0,
            Page::First => forward(0),
            Page::After(after) => forward(position(after)? + 1),
            Page::Before(before) => backward(position(before)?),
            Page::Last => backward(items.len()),
            // XEP-0059 §2.6: an index at or behind the end has an empty page.
            Page::Index(index) => forward((*index as usize).min(items.len())),
        };
        let page = &items[range.clone()];
        let result = RsmResult {
            first: page
                .first()
                .map(|item| (id(item).to_owned(), u32::try_from(range.start).ok())),
            last: page.last().map(|item| id(item).to_owned()),
            count: u32::try_from(items.len()).ok(),
        };
        Ok((range, result))
    }
}

impl RsmResult {
    /// Writes `<set/>`.
    pub fn write(&self, w: &mut XmlWriter) {
        w.start("set").attr("xmlns", NS);
        if let Some((first, index)) = &self.first {
            w.start("first")
                .opt_attr("index", index.map(|i| i.to_string()).as_deref());
            w.text(first).end();
        }
        if let Some(last) = &self.last {
            w.text_element("last", last);
        }
        if let Some(count) = self.count {
            w.text_element("count", &count.to_string());
        }
        w.end();
    }
}

fn number(element: Element<'_>) -> Result<u32, StanzaError> {
    let text = element.text();
    let digits = text.trim();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(
            StanzaError::bad_request().text(format!("<{}/> is not a number.", element.name()))
        );
    }
    // A number too large to hold is as good as the largest one.
    Ok(digits.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::{NS, Page, RsmRequest, RsmResult};
    use crate::xml::{OwnedElement, XmlWriter};
    use crate::{Condition, StanzaError};

    fn parse(content: &str) -> Result<RsmRequest, StanzaError> {
        let xml = format!("<query xmlns='a'><set xmlns='{NS}'>{content}</set></query>");
        let query = OwnedElement::parse(xml.as_bytes(), "jabber:client").unwrap();
        RsmRequest::parse_child(query.root()).map(Option::unwrap)
    }

    #[test]
    fn requests_are_read() {
        let page = |max, page| Ok(RsmRequest { max, page });
        assert_eq!(parse(""), page(None, Page::First));
        assert_eq!(parse("<max>10</max>"), page(Some(10), Page::First));
        assert_eq!(
            parse("<max> 10\n</max><x xmlns='b'/>"),
            page(Some(10), Page::First)
        );
        assert_eq!(
            parse("<after>a&amp;b</after><max>0</max>"),
            page(Some(0), Page::After("a&b".into()))
        );
        assert_eq!(parse("<before/>"), page(None, Page::Last));
        assert_eq!(
            parse("<before>x</before>"),
            page(None, Page::Before("x".into()))
        );
        assert_eq!(parse("<index>371</index>"), page(None, Page::Index(371)));
        assert_eq!(
            parse("<max>99999999999</max>"),
            page(Some(u32::MAX), Page::First)
        );
        let query = OwnedElement::parse(b"<query xmlns='a'/>", "jabber:client").unwrap();
        assert_eq!(RsmRequest::parse_child(query.root()), Ok(None));
    }

    #[test]
    fn broken_requests_are_refused() {
        for content in [
            "<max/>",
            "<max>-1</max>",
            "<max>ten</max>",
            "<index>+1</index>",
            "<after>a</after><before>b</before>",
            "<before/><index>0</index>",
        ] {
            assert_eq!(
                parse(content).map_err(|e| e.condition),
                Err(Condition::BadRequest),
                "{content}"
            );
        }
    }

    #[test]
    fn pages_are_chosen_out_of_a_list() {
        let items = ["a", "b", "c", "d", "e"];
        let choose = |max, page| {
            RsmRequest { max, page }
                .choose(&items, 3, |item| item)
                .map(|(range, result)| (items[range].concat(), result.first.and_then(|f| f.1)))
                .map_err(|e| e.condition)
        };
        let is = |page: &str, first| Ok((page.to_owned(), first));
        assert_eq!(choose(None, Page::First), is("abc", Some(0)));
        assert_eq!(choose(Some(2), Page::First), is("ab", Some(0)));
        assert_eq!(choose(Some(9), Page::First), is("abc", Some(0)));
        assert_eq!(choose(Some(0), Page::First), is("", None));
        assert_eq!(choose(Some(0), Page::After("zz".into())), is("", None));
        assert_eq!(choose(None, Page::After("b".into())), is("cde", Some(2)));
        assert_eq!(choose(None, Page::After("e".into())), is("", None));
        assert_eq!(choose(None, Page::Before("e".into())), is("bcd", Some(1)));
        assert_eq!(choose(None, Page::Before("b".into())), is("a", Some(0)));
        assert_eq!(choose(None, Page::Before("a".into())), is("", None));
        assert_eq!(choose(Some(2), Page::Last), is("de", Some(3)));
        assert_eq!(choose(None, Page::Index(4)), is("e", Some(4)));
        assert_eq!(choose(None, Page::Index(5)), is("", None));
        assert_eq!(choose(None, Page::Index(u32::MAX)), is("", None));
        assert_eq!(
            choose(None, Page::After("zz".into())),
            Err(Condition::ItemNotFound)
        );
        assert_eq!(
            choose(None, Page::Before("zz".into())),
            Err(Condition::ItemNotFound)
        );
        let none: [&str; 0] = [];
        for page in [Page::First, Page::Last, Page::Index(0)] {
            let (range, result) = RsmRequest { max: None, page }
                .choose(&none, 3, |item| item)
                .unwrap();
            assert_eq!((range, result.count), (0..0, Some(0)));
        }
    }

    #[test]
    fn results_are_written_as_in_the_extension() {
        let write = |result: &RsmResult| {
            let mut w = XmlWriter::new();
            result.write(&mut w);
            String::from_utf8(w.finish()).unwrap()
        };
        let (_, result) = RsmRequest::default()
            .choose(&["a", "b<"], 9, |item| item)
            .unwrap();
        assert_eq!(
            write(&result),
            format!(
                "<set xmlns='{NS}'><first index='0'>a</first><last>b&lt;</last><count>2</count></set>"
            )
        );
        let empty = RsmResult {
            count: Some(0),
            ..RsmResult::default()
        };
        assert_eq!(
            write(&empty),
            format!("<set xmlns='{NS}'><count>0</count></set>")
        );
    }
}
