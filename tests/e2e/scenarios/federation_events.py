"""What accounts of two servers keep for each other: personal events (XEP-0163), last activity (XEP-0012), and push
(XEP-0357) with its app server elsewhere; with Debian's Prosody and ejabberd."""

import base64
import hashlib

from harness.peers import two_servers
from harness.people import befriend, quiet
from harness.scenario import TIMEOUT, Stage
from harness.slix import Slix

from .copies import PUSH, app_server
from .federation_interop import with_each
from .pubsub import NS, client, tells_of

DATA, METADATA, TUNE = "urn:xmpp:avatar:data", "urn:xmpp:avatar:metadata", "http://jabber.org/protocol/tune"
LAST = "<query xmlns='jabber:iq:last'/>"


async def publish(owner: Slix, node: str, item: str, payload: str) -> None:
    """Publishes at the owner's own node."""
    await owner.iq("set", f"<pubsub xmlns='{NS}'><publish node='{node}'><item id='{item}'>{payload}</item></publish></pubsub>")


def reading(node: str) -> str:
    """The request for all items of a node."""
    return f"<pubsub xmlns='{NS}'><items node='{node}'/></pubsub>"


@with_each
async def events_and_pictures_of_contacts_come_from_the_other_server(stage: Stage, maker: str):
    async with two_servers(stage, maker, secure=True) as (here, there):
        romeo, juliet = await client(here, "romeo", "xep_0084"), await client(there, "juliet", "xep_0084")
        tybalt, paris = await client(here, "tybalt", "xep_0084"), await client(there, "paris", "xep_0084")
        await befriend(romeo, juliet)
        for owner, contact, stranger in ((romeo, juliet, paris), (juliet, romeo, tybalt)):
            picture = f"a picture of {owner.account.jid}".encode() * 200
            id_ = hashlib.sha1(picture).hexdigest()
            await publish(owner, DATA, id_, f"<data xmlns='{DATA}'>{base64.b64encode(picture).decode()}</data>")
            info = f"<info id='{id_}' bytes='{len(picture)}' type='image/png'/>"
            await publish(owner, METADATA, id_, f"<metadata xmlns='{METADATA}'>{info}</metadata>")
            event = await contact.inbox.expect("the event", tells_of(METADATA, id_))
            assert event.get("from") == owner.account.jid
            got = await contact.xmpp["xep_0084"].retrieve_avatar(owner.account.jid, id_, timeout=TIMEOUT)
            assert got["pubsub"]["items"]["item"]["avatar_data"]["value"] == picture
            refused = await stranger.iq_error("get", reading(METADATA), owner.account.jid)
            assert refused in ("not-authorized", "forbidden", "item-not-found", "presence-subscription-required"), refused
            # One that comes later hears of the last one, from a server that has its capabilities already.
            later = Slix(contact_stage(contact, here, there), contact.account, "later")
            later.xmpp.register_plugin("xep_0084")
            await later.login()
            await later.inbox.expect("the last one", tells_of(METADATA, id_))
            await later.close()
            # Nobody hears of what they did not ask for.
            await publish(owner, TUNE, "current", f"<tune xmlns='{TUNE}'><title>Nightingale</title></tune>")
        await quiet(romeo, juliet)
        for one in (romeo, juliet):
            assert one.inbox.find(lambda s, one=one: s.get("from") != one.account.jid and tells_of(TUNE)(s)) is None
        for stranger in (tybalt, paris):
            assert stranger.inbox.find(tells_of(METADATA)) is None


def contact_stage(contact: Slix, here: Stage, there: Stage) -> Stage:
    """The stage on whose server the client is."""
    return here if contact.server is here.server else there


@with_each
async def no_event_comes_from_who_is_no_contact_any_more(stage: Stage, maker: str):
    async with two_servers(stage, maker, secure=True) as (here, there):
        romeo, juliet = await client(here, "romeo", "xep_0084"), await client(there, "juliet", "xep_0084")
        await befriend(romeo, juliet)
        await publish(romeo, METADATA, "first", f"<metadata xmlns='{METADATA}'/>")
        await juliet.inbox.expect("the event", tells_of(METADATA, "first"))
        romeo.presence(juliet.account.jid, "unsubscribed")
        await juliet.inbox.presence(romeo.account.jid, "unsubscribed")
        await publish(romeo, METADATA, "second", f"<metadata xmlns='{METADATA}'/>")
        await juliet.fence(here.server.domain)
        assert juliet.inbox.find(tells_of(METADATA, "second")) is None
        assert await juliet.iq_error("get", reading(METADATA), romeo.account.jid) == "not-authorized"


@with_each
async def last_activity_is_for_contacts_of_the_other_server_alone(stage: Stage, maker: str):
    async with two_servers(stage, maker, secure=True) as (here, there):
        romeo, juliet = await client(here, "romeo"), await client(there, "juliet")
        paris = await client(there, "paris")
        await befriend(romeo, juliet)
        romeo.send("<presence type='unavailable'><status>gone to Mantua</status></presence>")
        await juliet.inbox.presence(romeo.jid, "unavailable")
        last = await juliet.iq("get", LAST, romeo.account.jid)
        query = last.find("{jabber:iq:last}query")
        assert query.text == "gone to Mantua" and int(query.get("seconds")) < TIMEOUT * 3
        assert await paris.iq_error("get", LAST, romeo.account.jid) in ("forbidden", "service-unavailable", "not-authorized")


@with_each
async def a_device_is_woken_through_an_app_server_elsewhere_for_a_message_from_elsewhere(stage: Stage, maker: str):
    async with two_servers(stage, maker, secure=True) as (here, there):
        app = await app_server(there)
        juliet = await client(there, "juliet")
        romeo = await client(here, "romeo")
        await romeo.iq("set", f"<enable xmlns='urn:xmpp:push:0' jid='{app.jid}' node='n1'/>")
        await romeo.close()
        juliet.message(romeo.account.jid, "wake up")
        got = await app.inbox.expect("a notification", lambda s: s.find(f".//{PUSH}notification") is not None)
        assert got.get("from") in (romeo.account.jid, here.server.domain), got.get("from")
        back = await Slix(here, romeo.account, "back").login()
        await back.inbox.message("wake up", from_=juliet.jid)
