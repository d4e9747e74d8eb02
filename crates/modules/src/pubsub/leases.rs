//! Subscriptions that end at a time which the subscriber has chosen (XEP-0060 §12.19): found when somebody has to do with the node,
//! before anything else is done to it.

use tercet_core::StanzaError;

use super::lists;
use super::node::Node;
use super::place::Place;
use super::subscribe::tell_state;

/// Ends the subscriptions whose time is up, and tells those who had them. The caller does not hold the node's `changing`.
pub async fn end(place: &Place, node: &Node) -> Result<(), StanzaError> {
    let now_ms = place.server.now_ms();
    if !node.may_have_ends(now_ms) {
        return Ok(());
    }
    let _alone = node.changing.lock().await;
    let (mut changed, mut ended) = (Vec::new(), Vec::new());
    for (jid, member) in &node.lock().members {
        let mut member = member.clone();
        let of_member = member.take_ended(now_ms);
        if !of_member.is_empty() {
            ended.extend(of_member);
            changed.push((jid.clone(), member));
        }
    }
    lists::keep(place, node, changed).await?;
    node.note_ends();
    for one in ended {
        // XEP-0060 §12.14: whose subscription has ended is told.
        tell_state(place, &node.name, &one.jid, None);
    }
    Ok(())
}
