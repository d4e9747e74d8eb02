//! One device that wants to be woken: how it is reached, and what came of trying.

use std::collections::VecDeque;

use tercet_core::{BareJid, Jid, OwnedElement, XmlWriter};

use super::xml::NS;

/// Lines of the log of one device.
const LINES: usize = 20;

/// A device with the app server that wakes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name among the account's devices, given by the server.
    pub id: String,
    /// The app server.
    pub service: Jid,
    /// The app server's name for the device.
    pub node: Option<String>,
    /// What the app server wants to be given: a data form.
    pub(super) options: Option<Vec<u8>>,
    /// The resource of the session that asked for it.
    pub resource: String,
    /// When it was asked for the last time, in milliseconds since 1970.
    pub since_ms: u64,
    /// How often the app server has failed in a row.
    pub failures: u32,
    /// Before this the app server is left alone.
    pub not_before_ms: u64,
    /// What came of the last notifications, oldest first: when, and what.
    pub log: VecDeque<(u64, String)>,
}

impl Device {
    /// Notes what happened.
    pub(super) fn note(&mut self, now_ms: u64, text: impl Into<String>) {
        if self.log.len() == LINES {
            self.log.pop_front();
        }
        self.log.push_back((now_ms, text.into()));
    }

    /// Whether it is a browser of `account`, which the host itself wakes by web push.
    pub(super) fn is_browser(&self, account: &BareJid) -> bool {
        self.service.as_str() == account.domain()
    }

    /// As it is kept.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut w = XmlWriter::new();
        w.start("device")
            .attr("xmlns", NS)
            .attr("jid", self.service.as_str())
            .opt_attr("node", self.node.as_deref())
            .attr("resource", &self.resource)
            .attr("since", &self.since_ms.to_string())
            .attr("failures", &self.failures.to_string())
            .attr("not-before", &self.not_before_ms.to_string());
        if let Some(options) = &self.options {
            w.start("options").raw(options).end();
        }
        for (at, text) in &self.log {
            w.start("line").attr("at", &at.to_string()).text(text).end();
        }
        w.end();
        w.finish()
    }

    /// Reads what [`Device::to_bytes`] wrote; `None` if it is something else.
    pub(super) fn from_bytes(id: String, bytes: &[u8]) -> Option<Device> {
        let device = OwnedElement::parse(bytes, NS).ok()?;
        let device = device.root();
        let number = |name| device.attr(name)?.parse().ok();
        let options = device
            .child("options", NS)
            .and_then(|o| o.first_child())
            .map(|form| {
                let mut options = Vec::new();
                form.to_xml(&mut options);
                options
            });
        let lines = device.children().filter(|c| c.is("line", NS));
        let lines = lines.filter_map(|line| {
            let at = line.attr("at")?.parse().ok()?;
            Some((at, line.text().into_owned()))
        });
        Some(Device {
            id,
            service: Jid::parse(&device.attr("jid")?).ok()?,
            node: device.attr("node").map(Into::into),
            options,
            resource: device.attr("resource")?.into_owned(),
            since_ms: number("since")?,
            failures: u32::try_from(number("failures")?).ok()?,
            not_before_ms: number("not-before")?,
            log: lines.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_kept_with_its_log() {
        let mut device = Device {
            id: "1".into(),
            service: Jid::parse("push-5.client.example").unwrap(),
            node: Some("yxs32<uqsflafdk3iuqo".into()),
            options: Some(b"<x xmlns='jabber:x:data' type='submit'/>".to_vec()),
            resource: "phone's".into(),
            since_ms: 1,
            failures: 2,
            not_before_ms: 3,
            log: VecDeque::new(),
        };
        for number in 0..=LINES as u64 {
            device.note(number, format!("line & {number}"));
        }
        assert_eq!(device.log.len(), LINES);
        assert_eq!(device.log[0].0, 1);
        let read = Device::from_bytes("1".into(), &device.to_bytes());
        assert_eq!(read.as_ref(), Some(&device));
        device.node = None;
        device.options = None;
        let read = Device::from_bytes("1".into(), &device.to_bytes());
        assert_eq!(read, Some(device));
        assert_eq!(Device::from_bytes("1".into(), b"<device/>"), None);
    }
}
