//! The subscription state machine of RFC 6121 Appendix A: pure functions over one roster item's state.
//!
//! The nine states of the RFC are the combinations of four facts that are kept apart here, since each event touches only some
//! of them:
//!
//! ```text
//!            to        the user receives the contact's presence
//!            ask       the user asked for it and has no answer ("Pending Out"); never together with `to`
//!            from      the contact receives the user's presence
//!            pending   the contact asked for it and has no answer ("Pending In"); never together with `from`
//! approved   the user said yes before being asked (RFC 6121 §3.4); never visible to the contact
//! ```

/// The state of a subscription between a user and one contact, seen from the user's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Subscription {
    /// The user receives the contact's presence.
    pub to: bool,
    /// The contact receives the user's presence.
    pub from: bool,
    /// The user's request to the contact waits for an answer.
    pub ask: bool,
    /// The contact's request to the user waits for an answer.
    pub pending: bool,
    /// The user has approved a request that has not come yet.
    pub approved: bool,
}

/// A presence stanza that manages subscriptions (RFC 6121 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A request to receive the other's presence.
    Subscribe,
    /// Consent to such a request.
    Subscribed,
    /// The sender no longer wants the other's presence.
    Unsubscribe,
    /// Refusal of a request, or withdrawal of consent.
    Unsubscribed,
}

impl Event {
    /// The value of the stanza's `type` attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            Event::Subscribe => "subscribe",
            Event::Subscribed => "subscribed",
            Event::Unsubscribe => "unsubscribe",
            Event::Unsubscribed => "unsubscribed",
        }
    }
}

/// What the user's server does with a stanza that the user sends to a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outbound {
    /// The state afterwards.
    pub state: Subscription,
    /// Whether the stanza goes on to the contact.
    pub route: bool,
}

/// What the user's server does with a stanza that comes from a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inbound {
    /// The state afterwards.
    pub state: Subscription,
    /// Whether the user's clients see the stanza.
    pub deliver: bool,
    /// A stanza that the server sends back in the user's name.
    pub reply: Option<Event>,
}

impl Subscription {
    /// The value of a roster item's `subscription` attribute (RFC 6121 §2.1.2.5).
    pub fn as_str(self) -> &'static str {
        match (self.to, self.from) {
            (false, false) => "none",
            (true, false) => "to",
            (false, true) => "from",
            (true, true) => "both",
        }
    }

    /// Whether the item is no more than a request to the user, which does not belong in the roster (RFC 6121 §3.1.3).
    pub fn is_only_pending(self) -> bool {
        self.pending && !self.to && !self.ask && !self.approved
    }

    /// RFC 6121 Appendix A.2: the user sends `event` to the contact.
    pub fn outbound(self, event: Event) -> Outbound {
        let mut state = self;
        let route = match event {
            Event::Subscribe => {
                state.ask = !self.to;
                true
            }
            Event::Unsubscribe => {
                state.to = false;
                state.ask = false;
                true
            }
            Event::Subscribed if self.pending => {
                state.pending = false;
                state.from = true;
                true
            }
            // RFC 6121 §3.4.2: consent without a request is a pre-approval, of which the contact does not learn; where the
            // contact already receives the presence it is ignored.
            Event::Subscribed => {
                state.approved |= !self.from;
                false
            }
            Event::Unsubscribed => {
                state.from = false;
                state.pending = false;
                state.approved = false;
                self.from || self.pending
            }
        };
        Outbound { state, route }
    }

    /// RFC 6121 Appendix A.3: `event` comes from the contact.
    pub fn inbound(self, event: Event) -> Inbound {
        let mut state = self;
        let mut reply = None;
        let deliver = match event {
            // RFC 6121 §3.1.3: the contact lost its state; the answer is known.
            Event::Subscribe if self.from => {
                reply = Some(Event::Subscribed);
                false
            }
            Event::Subscribe if self.pending => false,
            // RFC 6121 §3.4.2: approved before.
            Event::Subscribe if self.approved => {
                state.from = true;
                reply = Some(Event::Subscribed);
                false
            }
            Event::Subscribe => {
                state.pending = true;
                true
            }
            Event::Unsubscribe => {
                state.from = false;
                state.pending = false;
                self.from || self.pending
            }
            Event::Subscribed => {
                state.to |= self.ask;
                state.ask = false;
                self.ask
            }
            Event::Unsubscribed => {
                state.to = false;
                state.ask = false;
                self.to || self.ask
            }
        };
        Inbound {
            state,
            deliver,
            reply,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Subscription = Subscription {
        to: false,
        from: false,
        ask: false,
        pending: false,
        approved: false,
    };
    const NONE_OUT: Subscription = Subscription { ask: true, ..NONE };
    const NONE_IN: Subscription = Subscription {
        pending: true,
        ..NONE
    };
    const NONE_OUT_IN: Subscription = Subscription {
        ask: true,
        pending: true,
        ..NONE
    };
    const TO: Subscription = Subscription { to: true, ..NONE };
    const TO_IN: Subscription = Subscription {
        to: true,
        pending: true,
        ..NONE
    };
    const FROM: Subscription = Subscription { from: true, ..NONE };
    const FROM_OUT: Subscription = Subscription {
        from: true,
        ask: true,
        ..NONE
    };
    const BOTH: Subscription = Subscription {
        to: true,
        from: true,
        ..NONE
    };

    /// Rows of a table in Appendix A: state before, whether the stanza passes, state after.
    type Table = [(Subscription, bool, Subscription); 9];

    fn outbound(event: Event, table: Table) {
        for (before, route, state) in table {
            assert_eq!(
                before.outbound(event),
                Outbound { state, route },
                "{before:?} sends {event:?}"
            );
        }
    }

    fn inbound(event: Event, table: Table) {
        for (before, deliver, after) in table {
            let got = before.inbound(event);
            assert_eq!(
                (got.deliver, got.state),
                (deliver, after),
                "{before:?} receives {event:?}"
            );
        }
    }

    #[test]
    fn a_2_1_outbound_subscribe() {
        outbound(
            Event::Subscribe,
            [
                (NONE, true, NONE_OUT),
                (NONE_OUT, true, NONE_OUT),
                (NONE_IN, true, NONE_OUT_IN),
                (NONE_OUT_IN, true, NONE_OUT_IN),
                (TO, true, TO),
                (TO_IN, true, TO_IN),
                (FROM, true, FROM_OUT),
                (FROM_OUT, true, FROM_OUT),
                (BOTH, true, BOTH),
            ],
        );
    }

    #[test]
    fn a_2_2_outbound_unsubscribe() {
        outbound(
            Event::Unsubscribe,
            [
                (NONE, true, NONE),
                (NONE_OUT, true, NONE),
                (NONE_IN, true, NONE_IN),
                (NONE_OUT_IN, true, NONE_IN),
                (TO, true, NONE),
                (TO_IN, true, NONE_IN),
                (FROM, true, FROM),
                (FROM_OUT, true, FROM),
                (BOTH, true, FROM),
            ],
        );
    }

    #[test]
    fn a_2_3_outbound_subscribed() {
        let approved = |s: Subscription| Subscription {
            approved: true,
            ..s
        };
        outbound(
            Event::Subscribed,
            [
                (NONE, false, approved(NONE)),
                (NONE_OUT, false, approved(NONE_OUT)),
                (NONE_IN, true, FROM),
                (NONE_OUT_IN, true, FROM_OUT),
                (TO, false, approved(TO)),
                (TO_IN, true, BOTH),
                (FROM, false, FROM),
                (FROM_OUT, false, FROM_OUT),
                (BOTH, false, BOTH),
            ],
        );
    }

    #[test]
    fn a_2_4_outbound_unsubscribed() {
        outbound(
            Event::Unsubscribed,
            [
                (NONE, false, NONE),
                (NONE_OUT, false, NONE_OUT),
                (NONE_IN, true, NONE),
                (NONE_OUT_IN, true, NONE_OUT),
                (TO, false, TO),
                (TO_IN, true, TO),
                (FROM, true, NONE),
                (FROM_OUT, true, NONE_OUT),
                (BOTH, true, TO),
            ],
        );
    }

    #[test]
    fn a_3_1_inbound_subscribe() {
        inbound(
            Event::Subscribe,
            [
                (NONE, true, NONE_IN),
                (NONE_OUT, true, NONE_OUT_IN),
                (NONE_IN, false, NONE_IN),
                (NONE_OUT_IN, false, NONE_OUT_IN),
                (TO, true, TO_IN),
                (TO_IN, false, TO_IN),
                (FROM, false, FROM),
                (FROM_OUT, false, FROM_OUT),
                (BOTH, false, BOTH),
            ],
        );
        assert_eq!(
            BOTH.inbound(Event::Subscribe).reply,
            Some(Event::Subscribed)
        );
        assert_eq!(NONE_IN.inbound(Event::Subscribe).reply, None);
    }

    #[test]
    fn a_3_2_inbound_unsubscribe() {
        inbound(
            Event::Unsubscribe,
            [
                (NONE, false, NONE),
                (NONE_OUT, false, NONE_OUT),
                (NONE_IN, true, NONE),
                (NONE_OUT_IN, true, NONE_OUT),
                (TO, false, TO),
                (TO_IN, true, TO),
                (FROM, true, NONE),
                (FROM_OUT, true, NONE_OUT),
                (BOTH, true, TO),
            ],
        );
    }

    #[test]
    fn a_3_3_inbound_subscribed() {
        inbound(
            Event::Subscribed,
            [
                (NONE, false, NONE),
                (NONE_OUT, true, TO),
                (NONE_IN, false, NONE_IN),
                (NONE_OUT_IN, true, TO_IN),
                (TO, false, TO),
                (TO_IN, false, TO_IN),
                (FROM, false, FROM),
                (FROM_OUT, true, BOTH),
                (BOTH, false, BOTH),
            ],
        );
    }

    #[test]
    fn a_3_4_inbound_unsubscribed() {
        inbound(
            Event::Unsubscribed,
            [
                (NONE, false, NONE),
                (NONE_OUT, true, NONE),
                (NONE_IN, false, NONE_IN),
                (NONE_OUT_IN, true, NONE_IN),
                (TO, true, NONE),
                (TO_IN, true, NONE_IN),
                (FROM, false, FROM),
                (FROM_OUT, true, FROM),
                (BOTH, true, FROM),
            ],
        );
    }

    #[test]
    fn a_pre_approved_contact_is_answered_without_asking_the_user() {
        let approved = NONE.outbound(Event::Subscribed).state;
        let got = approved.inbound(Event::Subscribe);
        assert!(!got.deliver);
        assert_eq!(got.reply, Some(Event::Subscribed));
        assert!(got.state.from && got.state.approved);
        let withdrawn = approved.outbound(Event::Unsubscribed);
        assert_eq!(
            withdrawn,
            Outbound {
                state: NONE,
                route: false
            }
        );
    }
}
