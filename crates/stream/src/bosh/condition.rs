//! Why a session ended (XEP-0124 §17.2).

/// A terminal binding condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The request is not what the specification says.
    BadRequest,
    /// The host is none of ours.
    HostUnknown,
    /// There are several hosts and none was named.
    ImproperAddressing,
    /// The server cannot serve the request.
    InternalServerError,
    /// No such session, no such request in it, or the wrong key.
    ItemNotFound,
    /// The client broke the rules of the session.
    PolicyViolation,
    /// The stream ended with an error.
    RemoteStreamError,
    /// The server ends.
    SystemShutdown,
}

impl Condition {
    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Condition::BadRequest => "bad-request",
            Condition::HostUnknown => "host-unknown",
            Condition::ImproperAddressing => "improper-addressing",
            Condition::InternalServerError => "internal-server-error",
            Condition::ItemNotFound => "item-not-found",
            Condition::PolicyViolation => "policy-violation",
            Condition::RemoteStreamError => "remote-stream-error",
            Condition::SystemShutdown => "system-shutdown",
        }
    }

    /// XEP-0124 §17.1: the HTTP status by which clients learn it that do not know versions.
    pub(super) fn legacy_status(self) -> u16 {
        match self {
            Condition::BadRequest => 400,
            Condition::PolicyViolation => 403,
            Condition::ItemNotFound => 404,
            _ => 200,
        }
    }
}
