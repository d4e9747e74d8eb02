//! XEP-0115 Entity Capabilities 1.6.0 and XEP-0390 Entity Capabilities 2.0 0.3.2, the server's own. Gaps: hashes from before a
//! reload are not asked for under their nodes any more; no gratuitous capabilities and no answers in the place of clients.
//!
//! The features of a stream after login name hashes over what the host answers to service discovery, so that a client which
//! knows one of them need not ask. What clients say of themselves is read where it matters (`pubsub`).

pub mod second;

use std::sync::OnceLock;

use aws_lc_rs::digest;
use base64::{Engine, prelude::BASE64_STANDARD};
use tercet_core::{OwnedElement, XmlWriter};
use tercet_server::module::{
    Coverage, IqResult, Module, Registrar, Reply, StreamFeature, Target, Xep, xep,
};
use tercet_server::{HostInfo, VHost};

use crate::disco::{self, Node, Question};

const NS: &str = "http://jabber.org/protocol/caps";

/// What names the software, not one installation.
const NODE: &str = "urn:tercet:server";

/// Announces the host's capabilities.
pub struct Caps {
    /// The hash, made when it is first asked for: then the host's modules are all there, and they stay.
    ver: OnceLock<String>,
    /// Those of XEP-0390 likewise; `None` if the answer has something that it does not hash.
    second: OnceLock<Option<second::Set>>,
    /// Components say a part of it, which no hash of ours covers.
    nested: bool,
}

impl Module for Caps {
    const NAME: &'static str = "caps";
    const XEPS: &'static [Xep] = &[
        xep(115, "1.6.0", Coverage::Complete),
        xep(
            390,
            "0.3.2",
            Coverage::Partial("no gratuitous capabilities; one set of hashes is answered"),
        ),
    ];
    type Config = ();

    fn new((): (), host: &HostInfo) -> Self {
        let components = host.components.iter();
        Caps {
            ver: OnceLock::new(),
            second: OnceLock::new(),
            nested: components.flat_map(|c| &c.delegated).next().is_some(),
        }
    }

    fn register(r: &mut Registrar<'_, Self>) {
        if r.module().nested {
            return;
        }
        let caps = r.module().clone();
        let node = Node {
            target: Target::Host,
            answer: Box::new(move |cx, node, question| {
                let ver = node.strip_prefix(NODE).and_then(|v| v.strip_prefix('#'));
                let ours = match ver {
                    Some(ver) => ver == caps.ver(cx.host),
                    // XEP-0390 §5.5
                    None => caps.second(cx.host).is_some_and(|set| set.answers(node)),
                };
                let known = question == Question::Info && ours;
                Box::pin(std::future::ready(known.then(|| info(cx.host, node))))
            }),
        };
        r.provide(Target::Host, node)
            .feature(NS)
            // XEP-0390 §5.1: who supports it says so.
            .feature(second::NS);
        let caps = r.module().clone();
        let feature = StreamFeature(Box::new(move |host| {
            let mut w = XmlWriter::new();
            // XEP-0115 §6.3
            w.start("c").attr("xmlns", NS).attr("hash", "sha-1");
            w.attr("node", NODE).attr("ver", caps.ver(host)).end();
            // XEP-0390 §5.2
            if let Some(set) = caps.second(host) {
                set.write(&mut w);
            }
            w.finish()
        }));
        r.provide(Target::Host, feature).feature(NS);
    }
}

/// The same answer as without a node.
fn info(host: &VHost, node: &str) -> IqResult {
    let mut w = XmlWriter::new();
    // XEP-0115 §6.2: the answer names the node.
    w.start("query")
        .attr("xmlns", disco::INFO)
        .attr("node", node);
    disco::write_info(host, Target::Host, false, &mut w);
    w.end();
    Ok(Reply::Payload(w.finish()))
}

impl Caps {
    fn ver(&self, host: &VHost) -> &str {
        self.ver.get_or_init(|| hash(&disco::info_string(host)))
    }
}

impl Caps {
    fn second(&self, host: &VHost) -> Option<&second::Set> {
        let set = self.second.get_or_init(|| {
            let mut w = XmlWriter::new();
            w.start("query").attr("xmlns", disco::INFO);
            disco::write_info(host, Target::Host, false, &mut w);
            w.end();
            let answer = OwnedElement::parse(&w.finish(), "").ok()?;
            second::Set::of(answer.root())
        });
        set.as_ref()
    }
}

/// XEP-0115 §5.1: the last two steps.
fn hash(string: &str) -> String {
    let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, string.as_bytes());
    BASE64_STANDARD.encode(sha1)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_examples_of_the_specification_come_out() {
        let vers = crate::disco::examples().map(|string| super::hash(&string));
        // XEP-0115 §5.2, §5.3
        assert_eq!(
            vers,
            [
                "QgayPKawpkPSDYmwT/WM94uAlu0=",
                "q07IKJEyjvHSyhy//CH0CxmKi8w="
            ]
        );
    }
}
