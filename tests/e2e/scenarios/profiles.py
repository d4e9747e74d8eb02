"""What accounts keep for old and new clients alike: avatars (XEP-0398), vCards (XEP-0292), bookmarks (XEP-0411)."""

import base64
import hashlib

import aioxmpp
import aioxmpp.avatar
import aioxmpp.bookmarks
import aioxmpp.vcard
from slixmpp.exceptions import IqError

from harness.aio import Aio, until
from harness.browser import Browser
from harness.people import befriend, subscribe
from harness.rooms import enter, enter_new, instant
from harness.scenario import TIMEOUT, Stage, scenario
from harness.slix import Slix

from .browser import address, friends, picture
from .pubsub import NS, client, tells_of

METADATA = "urn:xmpp:avatar:metadata"
UPDATE = "{vcard-temp:x:update}"
#: A picture of 64 by 32 pixels, for those who look no further than its head.
PICTURE = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x40\0\0\0\x20\x08\x06\0\0\0" + b"nobody looks here" * 40
HASH = hashlib.sha1(PICTURE).hexdigest()


def shows(hash_: str):
    """Whether a stanza is presence that tells of that avatar."""
    return lambda stanza: stanza.tag.endswith("}presence") and \
        stanza.findtext(f"{UPDATE}x/{UPDATE}photo") == hash_


async def photo(slix: Slix, of: str) -> bytes | None:
    """The picture in somebody's vCard."""
    try:
        got = await slix.xmpp["xep_0054"].get_vcard(of, cached=False, timeout=TIMEOUT)
    except IqError as error:
        assert error.condition == "item-not-found", error.condition
        return None
    return got["vcard_temp"]["PHOTO"]["BINVAL"] or None


@scenario(servers=("tercet",))
async def an_avatar_that_a_new_client_publishes_is_shown_by_old_ones(stage: Stage):
    juliet = await client(stage, "juliet", "xep_0084")
    romeo = await client(stage, "romeo", "xep_0153")
    await befriend(juliet, romeo)
    nurse = await client(stage, "nurse", "xep_0153")
    seen = []
    romeo.xmpp.add_event_handler(
        "vcard_avatar_update", lambda p: seen.append(p["vcard_temp_update"]["photo"]))
    avatar = juliet.xmpp["xep_0084"]
    await avatar.publish_avatar(PICTURE, timeout=TIMEOUT)
    await avatar.publish_avatar_metadata({"bytes": len(PICTURE), "id": HASH, "type": "image/png"}, timeout=TIMEOUT)
    await romeo.inbox.expect("presence with the hash", shows(HASH))
    await until("the event", lambda: HASH in seen)
    assert await photo(romeo, juliet.account.jid) == PICTURE
    # As published it is for contacts.
    assert await nurse.iq_error("get", "<vCard xmlns='vcard-temp'/>", juliet.account.jid) == "item-not-found"
    later = Slix(stage, romeo.account, "later")
    await later.login()
    await later.inbox.expect("presence with the hash", shows(HASH))
    await juliet.iq("set", f"<pubsub xmlns='{NS}'><publish node='{METADATA}'><item><metadata xmlns='{METADATA}'/>"
                    "</item></publish></pubsub>")
    await romeo.inbox.expect("presence without one", shows(""))
    assert await photo(romeo, juliet.account.jid) is None


@scenario(servers=("tercet",))
async def an_avatar_that_an_old_client_sets_is_shown_by_new_ones(stage: Stage):
    juliet = await client(stage, "juliet", "xep_0153")
    romeo = await client(stage, "romeo", "xep_0084")
    await befriend(juliet, romeo)
    await juliet.xmpp["xep_0153"].set_avatar(avatar=PICTURE, mtype="image/png", timeout=TIMEOUT)
    told = await romeo.inbox.expect("the avatar", tells_of(METADATA, HASH))
    info = told.find(f".//{{{METADATA}}}info")
    assert (info.get("bytes"), info.get("type"), info.get("width"), info.get("height")) == \
        (str(len(PICTURE)), "image/png", "64", "32")
    got = await romeo.xmpp["xep_0084"].retrieve_avatar(juliet.account.jid, HASH, timeout=TIMEOUT)
    assert got["pubsub"]["items"]["item"]["avatar_data"]["value"] == PICTURE
    await romeo.inbox.expect("presence with the hash", shows(HASH))
    await juliet.iq("set", "<vCard xmlns='vcard-temp'><FN>Juliet</FN></vCard>")
    await romeo.inbox.expect("the end of it", lambda s: tells_of(METADATA)(s)
                             and s.find(f".//{{{METADATA}}}info") is None)


@scenario(servers=("tercet",))
async def aioxmpp_and_slixmpp_see_each_others_avatars(stage: Stage):
    services = (aioxmpp.avatar.AvatarService, aioxmpp.vcard.VCardService)
    juliet = Aio(stage, await stage.account("juliet"), services=services)
    await juliet.login()
    romeo = await client(stage, "romeo", "xep_0153")
    romeo.presence(juliet.account.jid, "subscribe")
    juliet.client.summon(aioxmpp.RosterClient).approve(aioxmpp.JID.fromstr(romeo.account.jid))
    await romeo.inbox.presence(juliet.account.jid, "subscribed")
    avatars = aioxmpp.avatar.AvatarSet()
    avatars.add_avatar_image("image/png", image_bytes=PICTURE)
    await juliet[aioxmpp.avatar.AvatarService].publish_avatar_set(avatars)
    await romeo.inbox.expect("presence with the hash", shows(HASH))
    assert await photo(romeo, juliet.account.jid) == PICTURE
    other = PICTURE + b"!"
    await romeo.xmpp["xep_0153"].set_avatar(avatar=other, mtype="image/png", timeout=TIMEOUT)
    jid = aioxmpp.JID.fromstr(romeo.account.jid)
    found = await juliet[aioxmpp.avatar.AvatarService].get_avatar_metadata(jid, require_fresh=True, disable_pep=False)
    assert [await one.get_image_bytes() for one in found] == [other]
    card = await juliet[aioxmpp.vcard.VCardService].get_vcard(jid)
    assert card.get_photo_data() == other


@scenario(servers=("tercet",))
async def the_hash_is_in_presence_to_rooms_if_everybody_may_see_the_avatar(stage: Stage):
    juliet = await client(stage, "juliet", "xep_0045")
    romeo = await client(stage, "romeo", "xep_0045")
    room = f"pictures-{juliet.account.jid.partition('@')[0]}@rooms.{juliet.account.domain}"
    await enter_new(romeo, room, "romeo")
    await instant(romeo, room)
    await enter(juliet, room, "juliet")
    await juliet.iq("set", "<vCard xmlns='vcard-temp'><PHOTO><TYPE>image/png</TYPE><BINVAL>aGVsbG8=</BINVAL></PHOTO>"
                    "</vCard>")
    # XEP-0398 §5.1: clients show themselves to rooms anew.
    juliet.xmpp.send_presence(pto=f"{room}/juliet")
    await romeo.inbox.expect("the hash", shows("aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"))


@scenario(servers=("tercet",))
async def bookmarks_are_the_same_as_items_as_a_list_at_a_node_and_in_private_storage(stage: Stage):
    account = await stage.account("romeo")
    old = Aio(stage, account, "old", services=(aioxmpp.BookmarkClient,))
    middle, new = Slix(stage, account, "middle"), Slix(stage, account, "new")
    for device, node in ((middle, "storage:bookmarks"), (new, "urn:xmpp:bookmarks:1")):
        for plugin in ("xep_0048", "xep_0163", "xep_0402"):
            device.xmpp.register_plugin(plugin)
        device.xmpp["xep_0163"].add_interest(node)
        await device.login()
    await old.login()
    bookmark = aioxmpp.bookmarks.Conference(
        "Garden", aioxmpp.JID.fromstr("garden@rooms.example.org"), autojoin=True, nick="Romeo")
    await old[aioxmpp.BookmarkClient].add_bookmark(bookmark)
    await new.inbox.expect("the item", tells_of("urn:xmpp:bookmarks:1", "garden@rooms.example.org"))
    got = await middle.iq("get", f"<pubsub xmlns='{NS}'><items node='storage:bookmarks'/></pubsub>")
    assert [c.get("jid") for c in got.iter("{storage:bookmarks}conference")] == ["garden@rooms.example.org"]
    await new.iq("set", f"<pubsub xmlns='{NS}'><publish node='urn:xmpp:bookmarks:1'><item id='tomb@rooms.example.org'>"
                 "<conference xmlns='urn:xmpp:bookmarks:1' name='Tomb'/></item></publish></pubsub>")
    await middle.inbox.expect("the list", tells_of("storage:bookmarks"))
    await old[aioxmpp.BookmarkClient].sync()
    rooms = {str(b.jid) for b in await old[aioxmpp.BookmarkClient].get_bookmarks()}
    assert rooms == {"garden@rooms.example.org", "tomb@rooms.example.org"}
    await middle.iq("set", f"<pubsub xmlns='{NS}'><publish node='storage:bookmarks'><item id='current'>"
                    "<storage xmlns='storage:bookmarks'><conference jid='tomb@rooms.example.org' name='The tomb'/>"
                    "</storage></item></publish></pubsub>")
    await new.inbox.expect("the other is taken back", lambda s: any(
        r.get("id") == "garden@rooms.example.org" for r in s.iter(f"{{{NS}#event}}retract")))
    rooms = {(str(b.jid), b.name) for b in await old[aioxmpp.BookmarkClient].get_bookmarks()}
    assert rooms == {("tomb@rooms.example.org", "The tomb")}


@scenario(servers=("tercet",))
async def a_vcard_is_the_same_in_both_formats(stage: Stage):
    juliet = await client(stage, "juliet", "xep_0292")
    romeo = await client(stage, "romeo", "xep_0292")
    await subscribe(romeo, juliet)
    await juliet.xmpp["xep_0292"].publish_vcard(
        full_name="Juliet Capulet", given="Juliet", surname="Capulet", email="juliet@example.org",
        node="urn:xmpp:vcard4", timeout=TIMEOUT)
    got = await romeo.xmpp["xep_0054"].get_vcard(juliet.account.jid, cached=False, timeout=TIMEOUT)
    card = got["vcard_temp"]
    assert (card["FN"], card["N"]["FAMILY"]) == ("Juliet Capulet", "Capulet")
    await juliet.iq("set", "<vCard xmlns='vcard-temp'><FN>Julia</FN></vCard>")
    got = await romeo.iq("get", f"<pubsub xmlns='{NS}'><items node='urn:xmpp:vcard4'/></pubsub>", juliet.account.jid)
    new = "{urn:ietf:params:xml:ns:vcard-4.0}"
    assert got.findtext(f".//{new}fn/{new}text") == "Julia"


async def publish(slix: Slix, image: str) -> None:
    """A picture in base64 becomes the avatar as new clients publish it."""
    data = base64.b64decode(image)
    avatar = slix.xmpp["xep_0084"]
    await avatar.publish_avatar(data, timeout=TIMEOUT)
    info = {"bytes": len(data), "id": hashlib.sha1(data).hexdigest(), "type": "image/png"}
    await avatar.publish_avatar_metadata(info, timeout=TIMEOUT)


@scenario(servers=("tercet",), limit=90)
async def the_web_client_shows_the_avatar_of_a_new_client_and_the_next_one(stage: Stage):
    romeo, juliet = await friends(stage)
    juliet.xmpp.register_plugin("xep_0084")
    first, second = picture(32), picture(48)
    await publish(juliet, first)
    browser = await Browser(stage).start()
    person = browser.person("romeo")
    await person.open(url=address(stage))
    await person.login(name=romeo.local, password=romeo.password)
    await person.inside()
    shown = await person.avatar(jid=juliet.account.jid)
    assert shown == f"data:image/png;base64,{first}", shown[:80]
    await publish(juliet, second)
    shown = await person.avatar(jid=juliet.account.jid, before=shown)
    assert shown == f"data:image/png;base64,{second}", shown[:80]
    await person.picture(name="avatar")
