"""XEP-0384: what is encrypted from end to end, between clients of different makers."""

import xml.etree.ElementTree as ET

from harness.omemo import AXOLOTL, Device
from harness.people import pair
from harness.profanity import Profanity
from harness.scenario import Account, Stage, scenario

NS = "http://jabber.org/protocol/pubsub"
DEVICES = "eu.siacs.conversations.axolotl.devicelist"
BUNDLES = "eu.siacs.conversations.axolotl.bundles"


async def terminal(stage: Stage, account: Account) -> Profanity:
    """A person at profanity who has made keys, and trusts whom it meets."""
    person = await (await Profanity(stage, account).login()).logged_in()
    await person.type("/omemo trustmode blind")
    await person.type("/omemo gen")
    await person.sees("materials generated")
    # Its own list, with itself in it, has come back.
    await person.sees("Blind trust for")
    return person


async def begin(person: Profanity, with_: Account) -> None:
    """The person turns encryption on in the window of the other, and has the keys of the other's device."""
    await person.type(f"/omemo start {with_.jid}")
    await person.sees("[OMEMO]")
    await person.type("/win 1")
    await person.sees(f"Blind trust for {with_.jid}")
    await person.type("/win 2")
    await person.sees("[OMEMO]")


def items(node: str) -> str:
    """The request for the items of a node."""
    return f"<pubsub xmlns='{NS}'><items node='{node}'/></pubsub>"


@scenario(servers=("tercet",), limit=90)
async def two_terminals_talk_in_secret(stage: Stage):
    romeo = await terminal(stage, await stage.account("romeo"))
    juliet = await terminal(stage, await stage.account("juliet"))
    await begin(romeo, juliet.account)
    await romeo.type("what light through yonder window breaks")
    await juliet.sees("chat message: romeo")
    await juliet.type("/win 2")
    await juliet.sees("yonder window breaks")
    await begin(juliet, romeo.account)
    await juliet.type("thou art thyself though not a Montague")
    await romeo.sees("though not a Montague")


@scenario(servers=("tercet",), limit=90)
async def a_terminal_and_slixmpp_talk_in_secret(stage: Stage):
    romeo = await terminal(stage, await stage.account("romeo"))
    juliet = await Device(stage, await stage.account("juliet"), "desk").login()
    await begin(romeo, juliet.account)
    await romeo.type("typed on a terminal")
    assert await juliet.hears(romeo.account) == "typed on a terminal"
    await juliet.whisper(romeo.account, "read on a terminal")
    await romeo.sees("read on a terminal")


@scenario(servers=("tercet",))
async def every_device_of_both_people_reads_it(stage: Stage):
    romeo_account, juliet_account = await stage.account("romeo"), await stage.account("juliet")
    desk = await Device(stage, romeo_account, "desk").login()
    phone = await Device(stage, romeo_account, "phone").login()
    juliet = await Device(stage, juliet_account, "desk").login()
    await juliet.whisper(romeo_account, "to both")
    assert await desk.hears(juliet_account) == "to both"
    assert await phone.hears(juliet_account) == "to both"
    await phone.whisper(juliet_account, "from the phone")
    assert await juliet.hears(romeo_account) == "from the phone"
    assert await desk.hears(romeo_account, carbon=True) == "from the phone"
    # A device that comes later.
    tablet = await Device(stage, juliet_account, "tablet").login()
    await desk.whisper(juliet_account, "to three")
    assert await juliet.hears(romeo_account) == "to three"
    assert await tablet.hears(romeo_account) == "to three"
    assert await phone.hears(romeo_account, carbon=True) == "to three"


@scenario(servers=("tercet",))
async def who_was_away_reads_it_out_of_the_archive(stage: Stage):
    romeo = await Device(stage, await stage.account("romeo"), "desk").login()
    juliet_account = await stage.account("juliet")
    phone = await Device(stage, juliet_account, "phone").login()
    await phone.close()
    for text in ("wherefore", "art thou"):
        await romeo.whisper(juliet_account, text)
    await romeo.settle()
    again = await Device(stage, juliet_account, "phone", phone.keys).login(presence=False)
    kept = [message for message in await again.archived(romeo.account) if message.find(f".//{AXOLOTL}payload") is not None]
    assert not any("wherefore" in ET.tostring(message, encoding="unicode") for message in kept)
    assert [await again.opened(message) for message in kept] == ["wherefore", "art thou"]
    await again.whisper(romeo.account, "by any other name")
    assert await romeo.hears(juliet_account) == "by any other name"


@scenario(servers=("tercet",))
async def keys_are_open_to_strangers_as_their_owner_wants_it(stage: Stage):
    tybalt, = await pair(stage, "tybalt")
    juliet = await Device(stage, await stage.account("juliet"), "desk").login()
    listed = await tybalt.iq("get", items(DEVICES), juliet.account.jid)
    assert [device.get("id") for device in listed.iter(f"{AXOLOTL}device")] == [str(await juliet.number())]
    bundle = await tybalt.iq("get", items(f"{BUNDLES}:{await juliet.number()}"), juliet.account.jid)
    assert len(list(bundle.iter(f"{AXOLOTL}preKeyPublic"))) >= 99
    for node in (DEVICES, f"{BUNDLES}:{await juliet.number()}"):
        form = await juliet.iq("get", f"<pubsub xmlns='{NS}#owner'><configure node='{node}'/></pubsub>")
        field = form.find(".//{jabber:x:data}field[@var='pubsub#access_model']")
        assert field.findtext("{jabber:x:data}value") == "open"
        assert await tybalt.iq_error(
            "set", f"<pubsub xmlns='{NS}'><publish node='{node}'><item id='current'/></publish></pubsub>",
            juliet.account.jid) == "forbidden"
    # What is missing is refused by the name that clients know.
    assert await tybalt.iq_error("get", items(f"{BUNDLES}:1"), juliet.account.jid) == "item-not-found"
