"""XEP-0060, XEP-0163 and what clients keep at nodes: avatars (XEP-0084), bookmarks (XEP-0402), device keys (XEP-0384)."""

import hashlib

import aioxmpp
import aioxmpp.pubsub
import aioxmpp.xso

from harness.aio import Aio, until
from harness.people import befriend, pair, quiet
from harness.scenario import TIMEOUT, Stage, scenario
from harness.slix import Slix

NS = "http://jabber.org/protocol/pubsub"
EVENT = f"{{{NS}#event}}"
PICTURE = b"\x89PNG\r\n\x1a\n" + b"no picture, and nobody looks" * 40


async def client(stage: Stage, name: str, *plugins: str) -> Slix:
    """A client of slixmpp with these plugins, online."""
    slix = Slix(stage, await stage.account(name))
    for plugin in plugins:
        slix.xmpp.register_plugin(plugin)
    return await slix.login()


def tells_of(node: str, item: str | None = None):
    """Whether a stanza tells of an item of the node."""
    def fits(stanza):
        items = stanza.find(f"{EVENT}event/{EVENT}items")
        if items is None or items.get("node") != node:
            return False
        return item is None or any(one.get("id") == item for one in items)
    return fits


@scenario
async def a_node_of_the_service_from_its_making_to_its_end(stage: Stage):
    hamlet = await client(stage, "hamlet", "xep_0060")
    francisco = await client(stage, "francisco", "xep_0060")
    service = f"pubsub.{hamlet.account.domain}"
    items = await hamlet.iq("get", "<query xmlns='http://jabber.org/protocol/disco#items'/>", hamlet.account.domain)
    assert any(item.get("jid") == service for item in items.iter("{http://jabber.org/protocol/disco#items}item"))
    node = f"musings-{francisco.account.jid}"
    owner, reader = hamlet.xmpp["xep_0060"], francisco.xmpp["xep_0060"]
    await owner.create_node(service, node, timeout=TIMEOUT)
    await reader.subscribe(service, node, timeout=TIMEOUT)
    entry = "<item id='one'><entry xmlns='http://www.w3.org/2005/Atom'><title>Soliloquy</title></entry></item>"
    await hamlet.iq("set", f"<pubsub xmlns='{NS}'><publish node='{node}'>{entry}</publish></pubsub>", service)
    await francisco.inbox.expect("the item", tells_of(node, "one"))
    got = await reader.get_items(service, node, timeout=TIMEOUT)
    assert [item["id"] for item in got["pubsub"]["items"]["substanzas"]] == ["one"]
    config = await owner.get_node_config(service, node, timeout=TIMEOUT)
    assert config["pubsub_owner"]["configure"]["form"].get_values()["pubsub#access_model"] == "open"
    await owner.retract(service, node, "one", notify=True, timeout=TIMEOUT)
    await francisco.inbox.expect("the retraction", lambda s: s.find(f".//{EVENT}retract") is not None)
    await owner.delete_node(service, node, timeout=TIMEOUT)
    await francisco.inbox.expect("the end", lambda s: s.find(f".//{EVENT}delete") is not None)
    assert await francisco.iq_error("get", f"<pubsub xmlns='{NS}'><items node='{node}'/></pubsub>",
                                    service) == "item-not-found"


@scenario
async def an_avatar_is_told_to_contacts_and_to_those_who_come_later(stage: Stage):
    juliet = await client(stage, "juliet", "xep_0084")
    romeo = await client(stage, "romeo", "xep_0084")
    await befriend(juliet, romeo)
    avatar = juliet.xmpp["xep_0084"]
    id_ = hashlib.sha1(PICTURE).hexdigest()
    await avatar.publish_avatar(PICTURE, timeout=TIMEOUT)
    await avatar.publish_avatar_metadata({"bytes": len(PICTURE), "id": id_, "type": "image/png"}, timeout=TIMEOUT)
    node = "urn:xmpp:avatar:metadata"
    await romeo.inbox.expect("the avatar", tells_of(node, id_))
    await juliet.inbox.expect("the own avatar", tells_of(node, id_))
    got = await romeo.xmpp["xep_0084"].retrieve_avatar(juliet.account.jid, id_, timeout=TIMEOUT)
    assert got["pubsub"]["items"]["item"]["avatar_data"]["value"] == PICTURE
    # A device that comes later, with capabilities that are known by now.
    later = Slix(stage, romeo.account, "later")
    later.xmpp.register_plugin("xep_0084")
    await later.login()
    await later.inbox.expect("the last item", tells_of(node, id_))


@scenario
async def who_does_not_ask_for_it_hears_nothing_and_strangers_read_nothing(stage: Stage):
    juliet = await client(stage, "juliet", "xep_0163")
    romeo = await client(stage, "romeo", "xep_0060")
    tybalt = await client(stage, "tybalt", "xep_0084")
    await befriend(juliet, romeo)
    publish = f"<pubsub xmlns='{NS}'><publish node='urn:xmpp:avatar:metadata'><item id='x'>" \
        "<metadata xmlns='urn:xmpp:avatar:metadata'/></item></publish></pubsub>"
    await juliet.iq("set", publish)
    read = f"<pubsub xmlns='{NS}'><items node='urn:xmpp:avatar:metadata'/></pubsub>"
    assert await tybalt.iq_error("get", read, juliet.account.jid) == "not-authorized"
    assert await tybalt.iq_error("set", publish, juliet.account.jid) == "forbidden"
    await romeo.iq("get", read, juliet.account.jid)
    await quiet(juliet, romeo, tybalt)
    for other in (romeo, tybalt):
        assert other.inbox.find(tells_of("urn:xmpp:avatar:metadata")) is None


@scenario
async def bookmarks_are_private_and_reach_the_other_device(stage: Stage):
    account = await stage.account("romeo")
    desk, phone = Slix(stage, account, "desk"), Slix(stage, account, "phone")
    for device in (desk, phone):
        device.xmpp.register_plugin("xep_0402")
        device.xmpp.register_plugin("xep_0163")
        device.xmpp["xep_0163"].add_interest("urn:xmpp:bookmarks:1")
        await device.login()
    options = "<publish-options><x xmlns='jabber:x:data' type='submit'>" \
        f"<field var='FORM_TYPE'><value>{NS}#publish-options</value></field>" + "".join(
            f"<field var='pubsub#{name}'><value>{value}</value></field>" for name, value in (
                ("persist_items", "true"), ("max_items", "max"), ("send_last_published_item", "never"),
                ("access_model", "whitelist"))) + "</x></publish-options>"
    for room in ("garden", "tomb"):
        await desk.iq("set", f"<pubsub xmlns='{NS}'><publish node='urn:xmpp:bookmarks:1'>"
                      f"<item id='{room}@rooms.example.org'><conference xmlns='urn:xmpp:bookmarks:1' autojoin='true'/>"
                      f"</item></publish>{options}</pubsub>")
        await phone.inbox.expect("the bookmark", tells_of("urn:xmpp:bookmarks:1", f"{room}@rooms.example.org"))
    got = await phone.xmpp["xep_0060"].get_items(account.jid, "urn:xmpp:bookmarks:1", timeout=TIMEOUT)
    assert [item["id"] for item in got["pubsub"]["items"]["substanzas"]] == \
        ["garden@rooms.example.org", "tomb@rooms.example.org"]
    tybalt, = await pair(stage, "tybalt")
    read = f"<pubsub xmlns='{NS}'><items node='urn:xmpp:bookmarks:1'/></pubsub>"
    assert await tybalt.iq_error("get", read, account.jid) == "not-allowed"


@scenario
async def keys_of_devices_are_open_to_strangers_however_big(stage: Stage):
    juliet, romeo = await pair(stage, "juliet", "romeo")
    options = "<publish-options><x xmlns='jabber:x:data' type='submit'>" \
        f"<field var='FORM_TYPE' type='hidden'><value>{NS}#publish-options</value></field>" \
        "<field var='pubsub#access_model'><value>open</value></field>" \
        "<field var='pubsub#max_items'><value>max</value></field></x></publish-options>"
    keys = "".join(f"<pk id='{n}'>{'QUJD' * 12}</pk>" for n in range(1000))
    bundle = f"<item id='31415'><bundle xmlns='urn:xmpp:omemo:2'><prekeys>{keys}</prekeys></bundle></item>"
    node = "urn:xmpp:omemo:2:bundles"
    await juliet.iq("set", f"<pubsub xmlns='{NS}'><publish node='{node}'>{bundle}</publish>{options}</pubsub>")
    got = await romeo.iq("get", f"<pubsub xmlns='{NS}'><items node='{node}'><item id='31415'/></items></pubsub>",
                         juliet.account.jid)
    assert len(list(got.iter("{urn:xmpp:omemo:2}pk"))) == 1000
    closed = options.replace("<value>open</value>", "<value>presence</value>")
    assert await juliet.iq_error(
        "set", f"<pubsub xmlns='{NS}'><publish node='{node}'>{bundle}</publish>{closed}</pubsub>") == "conflict"


class Note(aioxmpp.xso.XSO):
    """A payload."""

    TAG = ("urn:example:note", "note")
    text = aioxmpp.xso.Text()


aioxmpp.pubsub.xso.as_payload_class(Note)


@scenario
async def aioxmpp_subscribes_publishes_and_manages_a_node(stage: Stage):
    hamlet = Aio(stage, await stage.account("hamlet"), services=(aioxmpp.PubSubClient,))
    francisco = Aio(stage, await stage.account("francisco"), services=(aioxmpp.PubSubClient,))
    await hamlet.login()
    await francisco.login()
    service = aioxmpp.JID.fromstr(f"pubsub.{hamlet.account.domain}")
    owner, reader = hamlet[aioxmpp.PubSubClient], francisco[aioxmpp.PubSubClient]
    node = f"notes-{hamlet.account.jid}"
    await owner.create(service, node)
    heard = []
    reader.on_item_published.connect(
        lambda jid, of, item, *, message=None: heard.append((of, item.id_)) and None)
    await reader.subscribe(service, node)
    note = Note()
    note.text = "adieu"
    await owner.publish(service, node, note, id_="one")
    await until("the item", lambda: (node, "one") in heard)
    got = await reader.get_items(service, node)
    assert [item.registered_payload.text for item in got.payload.items] == ["adieu"]
    assert francisco.account.jid in {
        str(s.jid.bare()) for s in (await owner.get_node_subscriptions(service, node)).payload.subscriptions}
    await owner.change_node_affiliations(
        service, node, [(aioxmpp.JID.fromstr(francisco.account.jid), "publisher")])
    await reader.publish(service, node, note, id_="two")
    await owner.delete(service, node)
    try:
        await reader.get_items(service, node)
    except aioxmpp.XMPPCancelError as gone:
        assert gone.condition == aioxmpp.ErrorCondition.ITEM_NOT_FOUND
    else:
        raise AssertionError("the node is gone")
