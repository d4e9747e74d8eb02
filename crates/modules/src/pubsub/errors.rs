//! The errors of XEP-0060 §11: a condition of RFC 6120, and one of `pubsub#errors` that says more.

use tercet_core::{ErrorType, StanzaError, XmlWriter};

const NS: &str = "http://jabber.org/protocol/pubsub#errors";

fn with(error: StanzaError, condition: &str) -> StanzaError {
    let mut w = XmlWriter::new();
    w.leaf(condition, &[("xmlns", NS)]);
    error.app(w.finish())
}

/// `feature-not-implemented`, with the feature that is missing.
pub fn unsupported(feature: &str) -> StanzaError {
    let mut w = XmlWriter::new();
    w.leaf("unsupported", &[("xmlns", NS), ("feature", feature)]);
    StanzaError::feature_not_implemented().app(w.finish())
}

/// The owner's presence has to be subscribed to.
pub fn presence_subscription_required() -> StanzaError {
    with(
        StanzaError::not_authorized(),
        "presence-subscription-required",
    )
}

/// Only some groups of the owner's roster have access.
pub fn not_in_roster_group() -> StanzaError {
    with(StanzaError::not_authorized(), "not-in-roster-group")
}

/// Only those on the node's list have access.
pub fn closed_node() -> StanzaError {
    with(StanzaError::not_allowed(), "closed-node")
}

/// Only subscribers have access.
pub fn not_subscribed() -> StanzaError {
    with(StanzaError::not_authorized(), "not-subscribed")
}

/// There is no subscription that could be ended.
pub fn nothing_to_unsubscribe() -> StanzaError {
    with(
        StanzaError::unexpected_request().kind(ErrorType::Cancel),
        "not-subscribed",
    )
}

/// There is no subscription that could have options.
pub fn no_subscription() -> StanzaError {
    with(
        StanzaError::unexpected_request().kind(ErrorType::Modify),
        "not-subscribed",
    )
}

/// An owner has not yet agreed.
pub fn pending_subscription() -> StanzaError {
    with(StanzaError::not_authorized(), "pending-subscription")
}

/// The address is not the sender's, or none.
pub fn invalid_jid() -> StanzaError {
    with(StanzaError::bad_request(), "invalid-jid")
}

/// An address is missing.
pub fn jid_required() -> StanzaError {
    with(StanzaError::bad_request(), "jid-required")
}

/// A node is missing.
pub fn node_required() -> StanzaError {
    with(StanzaError::bad_request(), "nodeid-required")
}

/// An item is missing, or its id.
pub fn item_required() -> StanzaError {
    with(StanzaError::bad_request(), "item-required")
}

/// The node takes no items: it only tells that something happened.
pub fn item_forbidden() -> StanzaError {
    with(StanzaError::bad_request(), "item-forbidden")
}

/// An item without content.
pub fn payload_required() -> StanzaError {
    with(StanzaError::bad_request(), "payload-required")
}

/// An item with content that the node does not take.
pub fn invalid_payload() -> StanzaError {
    with(StanzaError::bad_request(), "invalid-payload")
}

/// An item with more content than the node takes.
pub fn payload_too_big() -> StanzaError {
    with(StanzaError::not_acceptable(), "payload-too-big")
}

/// More items at a time than the node keeps.
pub fn max_items_exceeded() -> StanzaError {
    with(StanzaError::not_allowed(), "max-items-exceeded")
}

/// The node is not configured as the publisher wants it.
pub fn precondition_not_met() -> StanzaError {
    with(StanzaError::conflict(), "precondition-not-met")
}

/// More nodes than one may have.
pub fn max_nodes_exceeded() -> StanzaError {
    with(
        StanzaError::policy_violation().kind(ErrorType::Wait),
        "max-nodes-exceeded",
    )
}

/// More subscriptions than there may be.
pub fn too_many_subscriptions() -> StanzaError {
    with(
        StanzaError::policy_violation().kind(ErrorType::Wait),
        "too-many-subscriptions",
    )
}

/// A subscription id that is none.
pub fn invalid_subid() -> StanzaError {
    with(StanzaError::not_acceptable(), "invalid-subid")
}

/// Options that fit no form.
pub fn invalid_options() -> StanzaError {
    with(StanzaError::bad_request(), "invalid-options")
}
