"""RFC 6121 §2 and §3: contact lists and subscriptions."""

import aioxmpp

from harness.aio import Aio, until
from harness.people import befriend, pair, quiet, subscribe
from harness.scenario import Stage, scenario
from harness.slix import Slix


def item(jid: str, name: str = "", groups: tuple[str, ...] = (), remove: bool = False) -> str:
    """A roster set's payload."""
    inside = "".join(f"<group>{group}</group>" for group in groups)
    attributes = f" name='{name}'" if name else ""
    if remove:
        attributes += " subscription='remove'"
    return f"<query xmlns='jabber:iq:roster'><item jid='{jid}'{attributes}>{inside}</item></query>"


@scenario
async def a_contact_is_added_changed_and_removed_and_both_resources_hear_of_it(stage: Stage):
    account = await stage.account("romeo")
    desk = await Slix(stage, account, "desk").login()
    phone = await Slix(stage, account, "phone").login()
    await desk.iq("set", item("juliet@example.net", "Juliet", ("Friends", "Verona")))
    for client in (desk, phone):
        pushed = await client.inbox.roster_push("juliet@example.net", name="Juliet", subscription="none")
        assert {g.text for g in pushed} == {"Friends", "Verona"}
    await phone.iq("set", item("juliet@example.net", "J.", ("Verona",)))
    for client in (desk, phone):
        pushed = await client.inbox.roster_push("juliet@example.net", name="J.")
        assert {g.text for g in pushed} == {"Verona"}
    roster = await desk.iq_roster()
    assert roster["juliet@example.net"].get("name") == "J."
    await desk.iq("set", item("juliet@example.net", remove=True))
    for client in (desk, phone):
        await client.inbox.roster_push("juliet@example.net", subscription="remove")
    assert not await phone.iq_roster()


@scenario
async def a_resource_that_never_asked_for_the_roster_gets_no_push(stage: Stage):
    account = await stage.account("romeo")
    desk = await Slix(stage, account, "desk").login()
    bystander = await Slix(stage, account, "bystander").login(roster=False)
    await desk.iq("set", item("juliet@example.net"))
    await desk.inbox.roster_push("juliet@example.net")
    await quiet(desk, bystander)
    assert bystander.inbox.find(lambda s: s.find("{jabber:iq:roster}query") is not None) is None


@scenario
async def removing_a_contact_that_is_not_there_is_item_not_found(stage: Stage):
    romeo = await Slix(stage, await stage.account("romeo")).login()
    assert await romeo.iq_error("set", item("juliet@example.net", remove=True)) == "item-not-found"


@scenario
async def a_roster_lasts_from_one_login_to_the_next(stage: Stage):
    account = await stage.account("romeo")
    first = await Slix(stage, account).login()
    await first.iq("set", item("juliet@example.net", "Juliet &amp; Co.", ("Ünïcode",)))
    await first.close()
    roster = await (await Slix(stage, account).login()).iq_roster()
    assert roster["juliet@example.net"].get("name") == "Juliet & Co."
    assert [g.text for g in roster["juliet@example.net"]] == ["Ünïcode"]


@scenario
async def a_client_that_knows_the_roster_version_gets_only_what_changed(stage: Stage):
    account = await stage.account("romeo")
    romeo = await Slix(stage, account).login()
    await romeo.iq("set", item("juliet@example.net", "Juliet"))
    whole = (await romeo.iq("get", "<query xmlns='jabber:iq:roster' ver=''/>")).find("{jabber:iq:roster}query")
    version = whole.get("ver")
    assert version and len(whole) == 1
    same = await romeo.iq("get", f"<query xmlns='jabber:iq:roster' ver='{version}'/>")
    assert same.find("{jabber:iq:roster}query") is None, "nothing changed: an empty result"
    await romeo.iq("set", item("nurse@example.net", "Nurse"))
    again = await Slix(stage, account, "again").login(roster=False)
    result = await again.iq("get", f"<query xmlns='jabber:iq:roster' ver='{version}'/>")
    query = result.find("{jabber:iq:roster}query")
    if query is None:  # RFC 6121 §2.6.3: the changes come as pushes, or the whole roster in the result
        await again.inbox.roster_push("nurse@example.net", name="Nurse")
    else:
        assert {i.get("jid") for i in query} == {"juliet@example.net", "nurse@example.net"}


@scenario(servers=("tercet",))  # RFC 6121 §3.4.2: Prosody approves, but pushes no `approved`
async def a_request_approved_beforehand_needs_no_answer(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    juliet.presence(romeo.account.jid, "subscribed")
    await juliet.inbox.roster_push(romeo.account.jid, approved="true")
    romeo.presence(juliet.account.jid, "subscribe")
    await romeo.inbox.presence(juliet.account.jid, "subscribed")
    await romeo.inbox.roster_push(juliet.account.jid, subscription="to")
    await juliet.inbox.roster_push(romeo.account.jid, subscription="from")
    await romeo.inbox.presence(juliet.jid)
    juliet.inbox.no_presence(romeo.account.jid, "subscribe")


@scenario
async def two_people_subscribe_to_each_other_and_see_each_other(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    await befriend(romeo, juliet)
    assert (await romeo.iq_roster())[juliet.account.jid].get("subscription") == "both"
    assert (await juliet.iq_roster())[romeo.account.jid].get("subscription") == "both"
    await juliet.available(pstatus="On the balcony", pshow="away")
    seen = await romeo.inbox.presence(juliet.jid, status="On the balcony")
    assert seen.findtext("{jabber:client}show") == "away"
    await juliet.close()
    await romeo.inbox.presence(juliet.jid, "unavailable")


@scenario
async def a_denied_request_leaves_no_subscription(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    romeo.presence(juliet.account.jid, "subscribe")
    await juliet.inbox.presence(romeo.account.jid, "subscribe")
    juliet.presence(romeo.account.jid, "unsubscribed")
    await romeo.inbox.presence(juliet.account.jid, "unsubscribed")
    push = await romeo.inbox.expect("push without ask", lambda s: any(
        i.get("jid") == juliet.account.jid and i.get("ask") is None for i in s.iter("{jabber:iq:roster}item")))
    assert next(push.iter("{jabber:iq:roster}item")).get("subscription") == "none"
    assert romeo.account.jid not in await juliet.iq_roster()


@scenario
async def a_request_to_somebody_offline_waits_for_the_login(stage: Stage):
    romeo, = await pair(stage, "romeo")
    account = await stage.account("juliet")
    romeo.presence(account.jid, "subscribe")
    await romeo.inbox.roster_push(account.jid, ask="subscribe")
    await romeo.settle()
    juliet = await Slix(stage, account).login()
    await juliet.inbox.presence(romeo.account.jid, "subscribe")


@scenario
async def unsubscribing_ends_the_presence_in_that_direction_only(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    await befriend(romeo, juliet)
    romeo.presence(juliet.account.jid, "unsubscribe")
    await romeo.inbox.roster_push(juliet.account.jid, subscription="from")
    await juliet.inbox.roster_push(romeo.account.jid, subscription="to")
    await juliet.available(pstatus="unseen")
    await quiet(juliet, romeo)
    assert romeo.inbox.find(lambda s: s.findtext("{jabber:client}status") == "unseen") is None
    await romeo.available(pstatus="seen")
    await juliet.inbox.presence(romeo.jid, status="seen")


@scenario
async def cancelling_a_subscription_takes_the_presence_away(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    await subscribe(romeo, juliet)
    juliet.presence(romeo.account.jid, "unsubscribed")
    await romeo.inbox.presence(juliet.jid, "unavailable")
    await romeo.inbox.roster_push(juliet.account.jid, subscription="none")
    await juliet.inbox.roster_push(romeo.account.jid, subscription="none")


@scenario
async def removing_a_contact_ends_both_subscriptions(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    await befriend(romeo, juliet)
    await romeo.iq("set", item(juliet.account.jid, remove=True))
    await romeo.inbox.roster_push(juliet.account.jid, subscription="remove")
    await juliet.inbox.roster_push(romeo.account.jid, subscription="none")
    await juliet.inbox.presence(romeo.jid, "unavailable")
    assert juliet.account.jid not in await romeo.iq_roster()
    assert (await juliet.iq_roster())[romeo.account.jid].get("subscription") == "none"


@scenario
async def aioxmpp_keeps_its_contact_list_and_sees_the_peer_come_and_go(stage: Stage):
    services = (aioxmpp.RosterClient, aioxmpp.PresenceClient)
    romeo = await Aio(stage, await stage.account("romeo"), services=services).login()
    juliet, = await pair(stage, "juliet")
    jid = aioxmpp.JID.fromstr(juliet.account.jid)
    roster = romeo[aioxmpp.RosterClient]
    await roster.set_entry(jid, name="Juliet", add_to_groups={"Verona"})
    roster.subscribe(jid)
    await juliet.inbox.presence(romeo.account.jid, "subscribe")
    juliet.presence(romeo.account.jid, "subscribed")
    await until("subscription to", lambda: roster.items[jid].subscription == "to")
    presences = romeo[aioxmpp.PresenceClient]
    await until("Juliet's presence", lambda: presences.get_most_available_stanza(jid))
    assert {i.jid for i in roster.groups["Verona"]} == {jid}
    await juliet.close()
    await until("Juliet's leaving", lambda: not presences.get_most_available_stanza(jid))
    await roster.remove_entry(jid)
    await until("the removal", lambda: jid not in roster.items)
