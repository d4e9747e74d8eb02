//! Who may do what at a node (XEP-0060 §4.1, §4.5): rules as functions.

use tercet_core::StanzaError;

use super::config::{Access, NodeConfig, PublishModel};
use super::errors;
use super::node::Affiliation;

/// Somebody who wants something of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asker {
    /// What it is to the node.
    pub affiliation: Affiliation,
    /// It is subscribed.
    pub subscribed: bool,
    /// It is subscribed to an owner's presence.
    pub sees_presence: bool,
    /// It is in a group of an owner's roster that has access.
    pub in_group: bool,
}

/// Whether somebody may subscribe to a node and read its items; for nodes whose owners decide, whether it may ask to.
///
/// # Errors
/// Those of §6.1.3 and §6.5.9.
pub fn may_subscribe(config: &NodeConfig, asker: Asker) -> Result<(), StanzaError> {
    match asker.affiliation {
        // XEP-0060 §4.1: neither an outcast nor one who only publishes subscribes or reads.
        Affiliation::Outcast | Affiliation::PublishOnly => return Err(StanzaError::forbidden()),
        Affiliation::Owner | Affiliation::Publisher | Affiliation::Member => return Ok(()),
        Affiliation::None => {}
    }
    match config.access {
        Access::Open | Access::Authorize => Ok(()),
        // XEP-0060 §6.1.3.2
        Access::Presence if asker.sees_presence => Ok(()),
        Access::Presence => Err(errors::presence_subscription_required()),
        // XEP-0060 §6.1.3.3
        Access::Roster if asker.in_group => Ok(()),
        Access::Roster => Err(errors::not_in_roster_group()),
        // XEP-0060 §6.1.3.4
        Access::Whitelist => Err(errors::closed_node()),
    }
}

/// Whether somebody may read its items.
///
/// # Errors
/// As [`may_subscribe`], and `not-subscribed`.
pub fn may_read(config: &NodeConfig, asker: Asker) -> Result<(), StanzaError> {
    may_subscribe(config, asker)?;
    // XEP-0060 §6.5.9.3
    match config.access {
        Access::Authorize if asker.affiliation == Affiliation::None && !asker.subscribed => {
            Err(errors::not_subscribed())
        }
        _ => Ok(()),
    }
}

/// Whether somebody may publish (§7.1.3.1).
pub fn may_publish(config: &NodeConfig, asker: Asker) -> bool {
    match asker.affiliation {
        Affiliation::Outcast => false,
        Affiliation::Owner | Affiliation::Publisher | Affiliation::PublishOnly => true,
        Affiliation::Member | Affiliation::None => match config.publish {
            PublishModel::Publishers => false,
            PublishModel::Subscribers => asker.subscribed,
            // Who cannot read cannot publish either.
            PublishModel::Open => may_read(config, asker).is_ok(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(access: Access, publish: PublishModel) -> NodeConfig {
        NodeConfig {
            access,
            publish,
            ..NodeConfig::default()
        }
    }

    const fn asker(affiliation: Affiliation) -> Asker {
        Asker {
            affiliation,
            subscribed: false,
            sees_presence: false,
            in_group: false,
        }
    }

    #[test]
    fn strangers_read_what_is_open_and_are_told_what_they_lack_elsewhere() {
        let stranger = asker(Affiliation::None);
        for (access, expected) in [
            (Access::Open, Ok(())),
            (
                Access::Presence,
                Err(errors::presence_subscription_required()),
            ),
            (Access::Roster, Err(errors::not_in_roster_group())),
            (Access::Authorize, Err(errors::not_subscribed())),
            (Access::Whitelist, Err(errors::closed_node())),
        ] {
            let config = config(access, PublishModel::Publishers);
            assert_eq!(may_read(&config, stranger), expected, "{access:?}");
        }
    }

    #[test]
    fn what_somebody_has_opens_the_node_that_asks_for_it() {
        let sees = Asker {
            sees_presence: true,
            ..Asker::default()
        };
        let grouped = Asker {
            in_group: true,
            ..Asker::default()
        };
        let subscribed = Asker {
            subscribed: true,
            ..Asker::default()
        };
        for access in [
            Access::Presence,
            Access::Roster,
            Access::Authorize,
            Access::Whitelist,
        ] {
            let config = config(access, PublishModel::Publishers);
            let reads = [sees, grouped, subscribed].map(|a| may_read(&config, a).is_ok());
            let expected = match access {
                Access::Presence => [true, false, false],
                Access::Roster => [false, true, false],
                Access::Authorize => [false, false, true],
                _ => [false, false, false],
            };
            assert_eq!(reads, expected, "{access:?}");
            for affiliation in Affiliation::ALL {
                use Affiliation::*;
                let may = matches!(affiliation, Member | Publisher | Owner);
                let unknown = affiliation == None;
                assert!(unknown || may_read(&config, asker(affiliation)).is_ok() == may);
            }
        }
    }

    #[test]
    fn who_may_publish_is_told_by_model_and_affiliation() {
        use Affiliation::*;
        for affiliation in Affiliation::ALL {
            let open = config(Access::Open, PublishModel::Open);
            let closed = config(Access::Open, PublishModel::Publishers);
            let by_right = matches!(affiliation, PublishOnly | Publisher | Owner);
            assert_eq!(may_publish(&closed, asker(affiliation)), by_right);
            assert_eq!(
                may_publish(&open, asker(affiliation)),
                affiliation != Outcast
            );
        }
        let subscribers = config(Access::Open, PublishModel::Subscribers);
        let subscribed = Asker {
            subscribed: true,
            ..Asker::default()
        };
        assert!(may_publish(&subscribers, subscribed));
        assert!(!may_publish(&subscribers, Asker::default()));
    }
}
