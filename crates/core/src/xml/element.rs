//! The cold path: a flat, read-only view of an element for whoever is its consumer. The bytes stay as they came; a table
//! says where each element and attribute is. Nothing recurses.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::scan::{Attr, Scanner, Sink, Tag};
use super::scope::{Declaration, Ns, Scope, Span, Splice};
use super::writer::escape_attr;
use super::{Limits, XmlError, chars, ns};

/// One element with all it contains: its bytes and a table of what is where. Cheap to clone.
///
/// ```
/// use tercet_core::OwnedElement;
/// let query = OwnedElement::parse(b"<query xmlns='a'><item n='1'>x &amp; y</item></query>", "jabber:client").unwrap();
/// let item = query.root().child("item", "a").unwrap();
/// assert_eq!(item.attr("n").as_deref(), Some("1"));
/// assert_eq!(item.text(), "x & y");
/// ```
#[derive(Clone)]
pub struct OwnedElement(Arc<Tree>);

struct Tree {
    text: Box<str>,
    /// Namespace names that were written with references.
    side: Box<str>,
    /// The default namespace outside.
    default: Cow<'static, str>,
    /// In document order.
    nodes: Vec<Node>,
    attributes: Vec<Attr>,
}

#[derive(Debug)]
struct Node {
    start: u32,
    content: u32,
    content_end: u32,
    end: u32,
    local: Span,
    ns: Ns,
    /// Index of the first attribute; they end where the next node's begin.
    attributes: u32,
    /// Index behind the last descendant.
    after: u32,
    parent: u32,
}

/// Collects the table.
#[derive(Default)]
struct Nodes {
    nodes: Vec<Node>,
    attributes: Vec<Attr>,
    open: Vec<u32>,
}

impl Sink for Nodes {
    fn open(&mut self, tag: &Tag<'_>) {
        let index = self.nodes.len() as u32;
        self.nodes.push(Node {
            start: tag.start,
            content: tag.content,
            content_end: tag.content,
            end: tag.content,
            local: tag.local,
            ns: tag.ns,
            attributes: self.attributes.len() as u32,
            after: index + 1,
            parent: self.open.last().copied().unwrap_or(0),
        });
        self.attributes.extend_from_slice(tag.attributes);
        self.open.push(index);
    }

    fn close(&mut self, _depth: usize, content_end: u32, end: u32) {
        let after = self.nodes.len() as u32;
        if let Some(index) = self.open.pop() {
            let node = &mut self.nodes[index as usize];
            node.content_end = content_end;
            node.end = end;
            node.after = after;
        }
    }
}

impl OwnedElement {
    /// Parses one whole element, white space around it allowed. `default_ns` is the default namespace that holds outside
    /// of it; no prefix does. For bytes that a peer sent, use [`parse_document`](super::parse_document) with its limits:
    /// here only well-formedness and restrictions are checked.
    pub fn parse(bytes: &[u8], default_ns: &str) -> Result<OwnedElement, XmlError> {
        let bytes = bytes.trim_ascii();
        let scope = Scope {
            default: default_ns,
            outer: &[],
            splice: Splice::Nowhere,
            header: false,
            budget: 0,
        };
        Self::scan(bytes, &scope)
    }

    pub(crate) fn scan(bytes: &[u8], scope: &Scope<'_>) -> Result<OwnedElement, XmlError> {
        if bytes.len() > u32::MAX as usize || bytes.first() != Some(&b'<') {
            return Err(XmlError::NotWellFormed);
        }
        let mut scanner = Scanner::new();
        let mut sink = Nodes::default();
        if scanner.run(bytes, &Limits::UNBOUNDED, scope, &mut sink)? != Some(bytes.len()) {
            return Err(XmlError::NotWellFormed);
        }
        let (text, _) = chars::check(bytes, scanner.checked())?;
        Ok(OwnedElement(Arc::new(Tree {
            text: text.into(),
            side: std::mem::take(&mut scanner.scopes.side).into(),
            default: ns::intern(scope.default),
            nodes: sink.nodes,
            attributes: sink.attributes,
        })))
    }

    /// The element itself.
    pub fn root(&self) -> Element<'_> {
        Element {
            tree: &self.0,
            index: 0,
        }
    }
}

impl fmt::Debug for OwnedElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.root(), f)
    }
}

/// An element inside an [`OwnedElement`].
#[derive(Clone, Copy)]
pub struct Element<'a> {
    tree: &'a Tree,
    index: u32,
}

/// An attribute of an [`Element`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The namespace of its prefix, empty without one.
    pub ns: &'a str,
    /// The local name.
    pub name: &'a str,
    /// The value, references resolved.
    pub value: Cow<'a, str>,
}

impl<'a> Element<'a> {
    /// The local name.
    pub fn name(&self) -> &'a str {
        self.node().local.text(&self.tree.text)
    }

    /// The namespace, empty if none.
    pub fn ns(&self) -> &'a str {
        self.ns_text(self.node().ns)
    }

    /// Whether this is `{ns}name`.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name() == name && self.ns() == ns
    }

    /// The value of the attribute `name` without a namespace, references resolved.
    pub fn attr(&self, name: &str) -> Option<Cow<'a, str>> {
        let text = &self.tree.text;
        let attr = self
            .own_attributes()
            .iter()
            .find(|a| a.prefix == 0 && a.name.text(text) == name)?;
        (name != "xmlns").then(|| chars::attribute_value(attr.value.text(text)))
    }

    /// The value of the attribute `{ns}name`, for example `lang` of [`ns::XML`](super::ns::XML).
    pub fn attr_ns(&self, ns: &str, name: &str) -> Option<Cow<'a, str>> {
        self.attrs()
            .find(|a| a.ns == ns && a.name == name)
            .map(|a| a.value)
    }

    /// All attributes but namespace declarations, as written.
    pub fn attrs(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        let this = *self;
        let text = &*this.tree.text;
        this.own_attributes()
            .iter()
            .filter(move |a| !a.declares)
            .map(move |a| Attribute {
                ns: this.ns_text(a.ns),
                name: a.local().text(text),
                value: chars::attribute_value(a.value.text(text)),
            })
    }

    /// The child elements in order.
    pub fn children(&self) -> impl Iterator<Item = Element<'a>> + use<'a> {
        let tree = self.tree;
        let mut next = self.index + 1;
        let after = self.node().after;
        std::iter::from_fn(move || {
            (next < after).then(|| {
                let index = next;
                next = tree.nodes[index as usize].after;
                Element { tree, index }
            })
        })
    }

    /// The first child that is `{ns}name`.
    pub fn child(&self, name: &str, ns: &str) -> Option<Element<'a>> {
        self.children().find(|c| c.is(name, ns))
    }

    /// The first child element.
    pub fn first_child(&self) -> Option<Element<'a>> {
        self.children().next()
    }

    /// The element's own character data, that of its children left out: references resolved, CDATA sections included,
    /// line ends as XML 1.0 §2.11 has them.
    pub fn text(&self) -> Cow<'a, str> {
        let node = self.node();
        let text = &self.tree.text;
        let piece = |from: u32, to: u32| &text[from as usize..to as usize];
        let mut children = self.children().peekable();
        if children.peek().is_none() {
            let all = piece(node.content, node.content_end);
            if !all.bytes().any(|b| matches!(b, b'&' | b'\r' | b'<')) {
                return Cow::Borrowed(all);
            }
        }
        let mut out = String::new();
        let mut from = node.content;
        for child in children {
            push_character_data(piece(from, child.node().start), &mut out);
            from = child.node().end;
        }
        push_character_data(piece(from, node.content_end), &mut out);
        Cow::Owned(out)
    }

    /// The element's bytes as they came. They may lean on declarations made around them: [`Element::to_xml`] does not.
    pub fn raw(&self) -> &'a [u8] {
        let node = self.node();
        &self.tree.text.as_bytes()[node.start as usize..node.end as usize]
    }

    /// Appends the element so that it means the same wherever it stands: every namespace it takes from outside is declared
    /// on it.
    pub fn to_xml(&self, out: &mut Vec<u8>) {
        let outer = self.outer_declarations();
        let default = outer
            .iter()
            .find(|d| d.0.is_empty())
            .map_or(&*self.tree.default, |d| &d.1);
        let scope = Scope {
            default,
            outer: &outer,
            splice: Splice::Root,
            header: false,
            budget: u32::MAX,
        };
        let mut scanner = Scanner::new();
        let scanned = scanner.run(self.raw(), &Limits::UNBOUNDED, &scope, &mut Nothing);
        debug_assert!(scanned.is_ok(), "checked before");
        if scanner.splices.is_empty() {
            out.extend_from_slice(self.raw());
        } else {
            out.extend_from_slice(&scanner.splices.apply(self.raw()));
        }
    }

    /// Appends the element with default namespace declarations instead of its and its descendants' prefixes, where
    /// `parent_ns` is the default namespace around it. Prefix declarations stay, for attributes. Gives up, false, when
    /// `out` grows beyond `limit` bytes.
    pub(super) fn write_unprefixed(
        &self,
        parent_ns: &str,
        out: &mut Vec<u8>,
        limit: usize,
    ) -> bool {
        let text = &*self.tree.text;
        let mut open: Vec<Element<'_>> = Vec::new();
        let mut at = self.node().start as usize;
        for index in self.index..self.node().after {
            let element = Element {
                tree: self.tree,
                index,
            };
            while let Some(top) = open.last().filter(|top| top.node().after <= index) {
                at = top.write_end(at, out);
                open.pop();
            }
            let node = element.node();
            out.extend_from_slice(&text.as_bytes()[at..node.start as usize]);
            let around = open.last().map_or(parent_ns, |parent| parent.ns());
            element.write_start(around, out);
            if node.content == node.end {
                out.extend_from_slice(b"/>");
            } else {
                out.push(b'>');
                open.push(element);
            }
            at = node.content as usize;
            if out.len() > limit {
                return false;
            }
        }
        while let Some(top) = open.pop() {
            at = top.write_end(at, out);
        }
        out.len() <= limit
    }

    /// Appends the start tag without its `>`, where `around` is the default namespace.
    fn write_start(&self, around: &str, out: &mut Vec<u8>) {
        let text = &*self.tree.text;
        out.push(b'<');
        out.extend_from_slice(self.name().as_bytes());
        if self.ns() != around {
            out.extend_from_slice(b" xmlns='");
            escape_attr(self.ns(), out);
            out.push(b'\'');
        }
        let kept = |a: &&Attr| !a.declares || a.prefix != 0;
        for attr in self.own_attributes().iter().filter(kept) {
            out.push(b' ');
            out.extend_from_slice(attr.span().of(text.as_bytes()));
        }
    }

    /// Appends what is left of the content, from `at` on, and the end tag; says where that ended in the source.
    fn write_end(&self, at: usize, out: &mut Vec<u8>) -> usize {
        let node = self.node();
        out.extend_from_slice(&self.tree.text.as_bytes()[at..node.content_end as usize]);
        out.extend_from_slice(b"</");
        out.extend_from_slice(self.name().as_bytes());
        out.push(b'>');
        node.end as usize
    }

    /// The declarations made on the elements around this one, innermost first.
    fn outer_declarations(&self) -> Vec<Declaration> {
        let text = &self.tree.text;
        let mut all: Vec<Declaration> = Vec::new();
        let mut at = *self;
        while at.index != 0 {
            at.index = at.node().parent;
            for attr in at.own_attributes().iter().filter(|a| a.declares) {
                let prefix = if attr.prefix == 0 {
                    ""
                } else {
                    attr.local().text(text)
                };
                if prefix != "xml" && !all.iter().any(|d| d.0 == prefix) {
                    let value = chars::attribute_value(attr.value.text(text)).into_owned();
                    all.push((prefix.to_owned().into(), value.into()));
                }
            }
        }
        all
    }

    /// Whether the element's name has a prefix.
    pub(super) fn is_prefixed(&self) -> bool {
        let node = self.node();
        node.local.start != node.start + 1
    }

    /// Where the element begins and ends in the source.
    pub(super) fn source_span(&self) -> (usize, usize) {
        let node = self.node();
        (node.start as usize, node.end as usize)
    }

    fn node(&self) -> &'a Node {
        &self.tree.nodes[self.index as usize]
    }

    fn own_attributes(&self) -> &'a [Attr] {
        let tree = self.tree;
        let end = tree
            .nodes
            .get(self.index as usize + 1)
            .map_or(tree.attributes.len(), |n| n.attributes as usize);
        &tree.attributes[self.node().attributes as usize..end]
    }

    fn ns_text(&self, ns: Ns) -> &'a str {
        match ns {
            // Outside prefixes are copied into the bytes before a table is made.
            Ns::None | Ns::Outer(_) => "",
            Ns::Inherited => &self.tree.default,
            Ns::Xml => ns::XML,
            Ns::Bytes(span) => span.text(&self.tree.text),
            Ns::Side(span) => span.text(&self.tree.side),
        }
    }
}

impl fmt::Debug for Element<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{{{}}} {}",
            self.ns(),
            String::from_utf8_lossy(self.raw())
        )
    }
}

/// Appends the meaning of text and CDATA sections.
fn push_character_data(raw: &str, out: &mut String) {
    let mut rest = raw;
    while let Some(at) = rest.find("<![CDATA[") {
        chars::push_text(&rest[..at], out);
        rest = &rest[at + 9..];
        let end = rest.find("]]>").unwrap_or(rest.len());
        chars::push_cdata(&rest[..end], out);
        rest = rest.get(end + 3..).unwrap_or("");
    }
    chars::push_text(rest, out);
}

/// For scans of which only the outcome counts.
pub(crate) struct Nothing;

impl Sink for Nothing {
    fn open(&mut self, _: &Tag<'_>) {}
    fn close(&mut self, _: usize, _: u32, _: u32) {}
}
