"""XEP-0280, 0352, 0357, 0377, and the payloads of conversations: what a user's other devices get, awake or asleep."""

import xml.etree.ElementTree as ET

import aioxmpp.carbons
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from harness.aio import Aio
from harness.managed import Managed
from harness.people import pair, quiet
from harness.scenario import TIMEOUT, Stage, scenario
from harness.slix import Slix

CLIENT = "{jabber:client}"
CARBONS = "{urn:xmpp:carbons:2}"
FORWARDED = "{urn:xmpp:forward:0}forwarded"
PUBSUB = "{http://jabber.org/protocol/pubsub}"
PUSH = "{urn:xmpp:push:0}"


async def with_copies(stage: Stage, account, resource: str, **login) -> Slix:
    """A device that has asked for copies by slixmpp's own plugin."""
    client = Slix(stage, account, resource)
    client.xmpp.register_plugin("xep_0280")
    await client.login(**login)
    await client.xmpp["xep_0280"].enable(timeout=TIMEOUT)
    return client


async def copy(client: Slix, direction: str, fits) -> ET.Element:
    """Waits for a copy of a message that fits; returns the message."""
    def is_copy(stanza):
        inner = stanza.find(f"{CARBONS}{direction}/{FORWARDED}/{CLIENT}message")
        return stanza.get("from") == client.account.jid and inner is not None and fits(inner)
    got = await client.inbox.expect(f"a copy ({direction})", is_copy)
    assert got.get("to") == client.jid
    return got.find(f"{CARBONS}{direction}/{FORWARDED}/{CLIENT}message")


def says(body: str):
    return lambda message: message.findtext(f"{CLIENT}body") == body


@scenario
async def two_devices_of_one_user_see_the_same_conversation(stage: Stage):
    romeo, = await pair(stage, "romeo")
    account = await stage.account("juliet")
    phone = await with_copies(stage, account, "phone", priority=1)
    desk = await with_copies(stage, account, "desk", priority=5)
    romeo.message(account.jid, "to the desk")
    await desk.inbox.message("to the desk", from_=romeo.jid)
    await copy(phone, "received", says("to the desk"))
    phone.message(romeo.jid, "from the phone")
    await romeo.inbox.message("from the phone", from_=phone.jid)
    assert (await copy(desk, "sent", says("from the phone"))).get("to") == romeo.jid
    romeo.message(phone.jid, "to the phone")
    await phone.inbox.message("to the phone")
    await copy(desk, "received", says("to the phone"))
    await quiet(romeo, phone, desk)
    for device in (phone, desk):
        assert device.inbox.find(lambda s: s.tag == CLIENT + "message") is None, "nothing comes twice"


@scenario
async def aioxmpp_turns_copies_on_and_off(stage: Stage):
    romeo, = await pair(stage, "romeo")
    account = await stage.account("juliet")
    phone = await Slix(stage, account, "phone").login()
    desk = await Aio(stage, account, "desk", services=(aioxmpp.CarbonsClient,)).login()
    wrapped = []
    desk.client.stream.app_inbound_message_filter.register(
        lambda message: wrapped.append(message) if message.xep0280_received else message, 1)
    await desk[aioxmpp.CarbonsClient].enable()
    romeo.message(phone.jid, "one")
    await phone.inbox.message("one")
    await desk.settle()
    assert [m.xep0280_received.stanza.body.any() for m in wrapped] == ["one"]
    await desk[aioxmpp.CarbonsClient].disable()
    romeo.message(phone.jid, "two")
    await phone.inbox.message("two")
    await desk.settle()
    assert len(wrapped) == 1


@scenario
async def a_forged_copy_reaches_nobody(stage: Stage):
    mallory, romeo = await pair(stage, "mallory", "romeo")
    mallory.send(f"<message to='{romeo.jid}' type='chat' id='f1'><received xmlns='urn:xmpp:carbons:2'>"
                 "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' type='chat' "
                 f"from='juliet@elsewhere.test/home' to='{romeo.jid}'><body>Meet me</body></message>"
                 "</forwarded></received></message>")
    await mallory.inbox.expect("an error", lambda s: s.get("id") == "f1" and s.get("type") == "error")
    await mallory.fence(romeo.jid)
    assert romeo.inbox.find(lambda s: s.tag == CLIENT + "message") is None


@scenario
async def what_makes_up_a_conversation_reaches_every_device_and_who_comes_later(stage: Stage):
    romeo = Slix(stage, await stage.account("romeo"), "desk")
    payloads = ("xep_0308", "xep_0333", "xep_0444", "xep_0461")
    for plugin in payloads:
        romeo.xmpp.register_plugin(plugin)
    await romeo.login()
    account = await stage.account("juliet")
    phone = await with_copies(stage, account, "phone", priority=1)
    desk = await with_copies(stage, account, "desk", priority=5)
    sent = {
        "{urn:xmpp:receipts}received": "<received xmlns='urn:xmpp:receipts' id='r'/>",
        "{urn:xmpp:receipts}request": "<body>1</body><request xmlns='urn:xmpp:receipts'/>",
        "{urn:xmpp:message-correct:0}replace": "<body>2</body><replace xmlns='urn:xmpp:message-correct:0' id='r'/>",
        "{urn:xmpp:reply:0}reply": f"<body>3</body><reply xmlns='urn:xmpp:reply:0' id='r' to='{phone.jid}'/>",
        "{urn:xmpp:chat-markers:0}displayed": "<displayed xmlns='urn:xmpp:chat-markers:0' id='r'/>",
        "{urn:xmpp:message-retract:1}retract": "<retract xmlns='urn:xmpp:message-retract:1' id='r'/>",
    }
    reactions = "{urn:xmpp:reactions:0}reactions"

    def send():
        for number, payload in enumerate(sent.values()):
            romeo.send(f"<message to='{account.jid}' type='chat' id='p{number}'>{payload}</message>")
        romeo.xmpp["xep_0444"].send_reactions(account.jid, to_id="r", reactions={"👋"})

    def has(tag):
        return lambda message: message.find(tag) is not None

    send()
    for tag in (*sent, reactions):
        await desk.inbox.expect(tag, has(tag))
        await copy(phone, "received", has(tag))
    await desk.close()
    await phone.close()
    await romeo.settle()
    send()
    await romeo.settle()
    later = await Slix(stage, account, "later").login()
    for tag in (*sent, reactions):
        got = await later.inbox.expect(tag, has(tag))
        assert got.find("{urn:xmpp:delay}delay") is not None


@scenario(servers=("tercet",))
async def what_makes_up_a_conversation_survives_a_resumption_and_is_in_the_archive(stage: Stage):
    romeo, = await pair(stage, "romeo")
    phone = await Managed(stage, await stage.account("juliet"), "phone").login()
    await phone.cut()
    payloads = {
        "{urn:xmpp:receipts}request": "<body>1</body><request xmlns='urn:xmpp:receipts'/>",
        "{urn:xmpp:receipts}received": "<received xmlns='urn:xmpp:receipts' id='r'/>",
        "{urn:xmpp:message-correct:0}replace": "<body>2</body><replace xmlns='urn:xmpp:message-correct:0' id='r'/>",
        "{urn:xmpp:reply:0}reply": f"<body>3</body><reply xmlns='urn:xmpp:reply:0' id='r' to='{phone.jid}'/>",
        "{urn:xmpp:chat-markers:0}displayed": "<displayed xmlns='urn:xmpp:chat-markers:0' id='r'/>",
        "{urn:xmpp:reactions:0}reactions":
            "<reactions xmlns='urn:xmpp:reactions:0' id='r'><reaction>👋</reaction></reactions>",
    }
    for number, payload in enumerate(payloads.values()):
        romeo.send(f"<message to='{phone.jid}' type='chat' id='p{number}'>{payload}</message>")
    await romeo.settle()
    await phone.resume()
    for tag in payloads:
        await phone.until(lambda: any(s.find(tag) is not None for s in phone.stanzas))
    reader = await Slix(stage, phone.account, "reader").login()
    await reader.iq("set", "<query xmlns='urn:xmpp:mam:2' queryid='q'/>")
    archived = "{urn:xmpp:mam:2}result/" + FORWARDED + "/" + CLIENT + "message"
    for tag in payloads:
        await reader.inbox.expect(
            tag, lambda s: (m := s.find(archived)) is not None and m.find(tag) is not None)


@scenario(servers=("tercet",))
async def a_client_that_nobody_looks_at_is_not_woken_for_what_can_wait(stage: Stage):
    romeo, = await pair(stage, "romeo")
    phone = Slix(stage, await stage.account("juliet"), "phone")
    phone.xmpp.register_plugin("xep_0352")
    await phone.login()
    assert phone.xmpp["xep_0352"].enabled, "the stream feature"
    phone.xmpp["xep_0352"].send_inactive()
    await phone.settle()
    for status in ("one", "two"):
        romeo.send(f"<presence to='{phone.jid}'><status>{status}</status></presence>")
    romeo.send(f"<message to='{phone.jid}' type='chat'>"
               "<composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
    romeo.message(phone.jid, "to read")
    await phone.inbox.message("to read")
    # The last presence has come before it; the first one and the chat state never do.
    await phone.inbox.presence(romeo.jid, status="two")
    assert phone.inbox.find(lambda s: s.get("from") == romeo.jid) is None
    romeo.send(f"<presence to='{phone.jid}'><status>three</status></presence>")
    await romeo.settle()
    phone.xmpp["xep_0352"].send_active()
    await phone.inbox.presence(romeo.jid, status="three")


async def app_server(stage: Stage) -> Slix:
    """A client that takes notifications and says yes."""
    app = Slix(stage, await stage.account("push"), "app")
    app.xmpp.register_handler(Callback(
        "notification", MatchXPath(f"{CLIENT}iq/{PUBSUB}pubsub"), lambda iq: iq.reply().send()))
    return await app.login()


@scenario(servers=("tercet",))
async def a_device_that_is_away_is_woken_through_its_app_server(stage: Stage):
    romeo, = await pair(stage, "romeo")
    app = await app_server(stage)
    account = await stage.account("juliet")
    phone = await Slix(stage, account, "phone").login()
    await phone.iq("set", f"<enable xmlns='urn:xmpp:push:0' jid='{app.jid}' node='n1'/>")
    romeo.message(account.jid, "while it is here")
    await phone.inbox.message("while it is here")
    await phone.close()
    await romeo.settle()
    romeo.message(account.jid, "a secret")
    got = await app.inbox.expect("a notification", lambda s: s.find(f".//{PUSH}notification") is not None)
    assert got.find(f"{PUBSUB}pubsub/{PUBSUB}publish").get("node") == "n1"
    text = ET.tostring(got, encoding="unicode")
    assert "a secret" not in text and romeo.account.jid not in text, text
    assert (await Slix(stage, account, "phone").login()).inbox is not None


@scenario(servers=("tercet",))
async def a_report_comes_with_a_block(stage: Stage):
    romeo, = await pair(stage, "romeo")
    await romeo.iq("set", "<block xmlns='urn:xmpp:blocking'><item jid='spam@elsewhere.test'>"
                   "<report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'/></item></block>")
    listed = await romeo.iq("get", "<blocklist xmlns='urn:xmpp:blocking'/>")
    assert [i.get("jid") for i in listed.iter("{urn:xmpp:blocking}item")] == ["spam@elsewhere.test"]
