//! A report, as a client writes it and as it is kept.

use tercet_core::{Element, Jid, OwnedElement, XmlWriter, ns};

use super::NS;

/// XEP-0359
const STANZA_ID: &str = "urn:xmpp:sid:0";
/// Bytes of a reason and of an id that are believed.
const SHORT: usize = 256;
/// Bytes of the text that are kept.
const TEXT: usize = 4096;
/// Messages that one report names.
const MESSAGES: usize = 50;

/// What a user says of somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Why, as a URI: `urn:xmpp:reporting:spam`, `urn:xmpp:reporting:abuse`, or another.
    pub reason: String,
    /// In the user's words.
    pub text: Option<String>,
    /// The messages it is about: who has given the id, and the id (XEP-0359).
    pub messages: Vec<(String, String)>,
    /// The user agrees that the server of the reported is told.
    pub to_origin: bool,
    /// The user agrees that third parties are told.
    pub to_third_parties: bool,
}

/// A report with the names that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filed {
    pub(super) by: Jid,
    pub(super) about: Jid,
    pub(super) report: Report,
}

impl Report {
    /// Reads the report in an item of a block; `None` if there is none, or one without a usable reason: the block holds either
    /// way (XEP-0377 §5). What is too long is cut.
    pub fn of(item: Element<'_>) -> Option<Report> {
        item.child("report", NS).and_then(Report::read)
    }

    /// Reads the element itself.
    pub(super) fn read(report: Element<'_>) -> Option<Report> {
        // XEP-0377 §3: there is a reason.
        let reason = report.attr("reason")?;
        if reason.is_empty() || reason.len() > SHORT {
            return None;
        }
        let texts = || report.children().filter(|c| c.is("text", NS));
        // XEP-0377 §7: in several languages, perhaps; those who run the server may read the one without a name, or any.
        let text = texts()
            .find(|t| t.attr_ns(ns::XML, "lang").is_none())
            .or_else(|| texts().next());
        let text = text.map(|t| cut(t.text().trim()).to_owned());
        let messages = report.children().filter(|c| c.is("stanza-id", STANZA_ID));
        let messages = messages.filter_map(|id| {
            let (by, id) = (id.attr("by")?, id.attr("id")?);
            (by.len() <= SHORT && id.len() <= SHORT).then(|| (by.into_owned(), id.into_owned()))
        });
        Some(Report {
            reason: reason.into_owned(),
            text: text.filter(|t| !t.is_empty()),
            messages: messages.take(MESSAGES).collect(),
            to_origin: report.child("report-origin", NS).is_some(),
            to_third_parties: report.child("third-party", NS).is_some(),
        })
    }

    fn write(&self, w: &mut XmlWriter) {
        w.start("report")
            .attr("xmlns", NS)
            .attr("reason", &self.reason);
        for (by, id) in &self.messages {
            w.leaf("stanza-id", &[("xmlns", STANZA_ID), ("by", by), ("id", id)]);
        }
        if let Some(text) = &self.text {
            w.text_element("text", text);
        }
        if self.to_origin {
            w.leaf("report-origin", &[]);
        }
        if self.to_third_parties {
            w.leaf("third-party", &[]);
        }
        w.end();
    }
}

impl Filed {
    /// As it is kept.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut w = XmlWriter::new();
        w.start("filed")
            .attr("xmlns", NS)
            .attr("by", self.by.as_str())
            .attr("about", self.about.as_str());
        self.report.write(&mut w);
        w.end();
        w.finish()
    }

    /// Reads what [`Filed::to_bytes`] wrote; `None` if it is something else.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Filed> {
        let filed = OwnedElement::parse(bytes, NS).ok()?;
        let filed = filed.root();
        Some(Filed {
            by: Jid::parse(&filed.attr("by")?).ok()?,
            about: Jid::parse(&filed.attr("about")?).ok()?,
            report: Report::of(filed)?,
        })
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str) -> Option<Report> {
        let xml =
            format!("<item xmlns='urn:xmpp:blocking' jid='romeo@example.net'>{content}</item>");
        Report::of(OwnedElement::parse(xml.as_bytes(), "").unwrap().root())
    }

    #[test]
    fn a_report_is_read_and_kept_with_all_it_says() {
        let report = read(
            "<report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'>\
             <stanza-id xmlns='urn:xmpp:sid:0' by='romeo@example.net' id='28482-98726-73623'/>\
             <stanza-id xmlns='urn:xmpp:sid:0' by='romeo@example.net' id='38383-38018-18385'/>\
             <text xml:lang='en'> Never came trouble to my house like this. </text><third-party/></report>",
        )
        .unwrap();
        assert_eq!(report.reason, "urn:xmpp:reporting:spam");
        let text = "Never came trouble to my house like this.";
        assert_eq!(report.text.as_deref(), Some(text));
        assert_eq!(report.messages.len(), 2);
        assert!(report.to_third_parties && !report.to_origin);
        let filed = Filed {
            by: Jid::parse("juliet@example.com").unwrap(),
            about: Jid::parse("romeo@example.net").unwrap(),
            report,
        };
        assert_eq!(Filed::from_bytes(&filed.to_bytes()), Some(filed));
        assert_eq!(Filed::from_bytes(b"<filed/>"), None);
    }

    #[test]
    fn a_report_without_a_reason_is_none() {
        assert_eq!(read(""), None);
        assert_eq!(read("<report xmlns='urn:xmpp:reporting:1'/>"), None);
        assert_eq!(read("<report xmlns='urn:other' reason='r'/>"), None);
    }

    #[test]
    fn what_is_too_long_is_cut() {
        let long = "ä".repeat(TEXT);
        let ids = "<stanza-id xmlns='urn:xmpp:sid:0' by='a@b' id='1'/>".repeat(MESSAGES + 1);
        let report = read(&format!(
            "<report xmlns='urn:xmpp:reporting:1' reason='r'><text>{long}</text>{ids}</report>"
        ))
        .unwrap();
        assert_eq!(report.text.unwrap().len(), TEXT);
        assert_eq!(report.messages.len(), MESSAGES);
        let long = "r".repeat(SHORT + 1);
        assert_eq!(
            read(&format!(
                "<report xmlns='urn:xmpp:reporting:1' reason='{long}'/>"
            )),
            None
        );
    }
}
