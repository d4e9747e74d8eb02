"""XEP-0313, 0359, 0424, 0441: one history on all devices, kept by the server."""

import datetime
import xml.etree.ElementTree as ET

from slixmpp.exceptions import IqError

from harness.aio import Aio
from harness.people import pair, quiet
from harness.scenario import TIMEOUT, Stage, scenario
from harness.slix import Slix
from harness.web import Web

CLIENT = "{jabber:client}"
MAM = "{urn:xmpp:mam:2}"
RSM = "{http://jabber.org/protocol/rsm}"
STANZA_ID = "{urn:xmpp:sid:0}stanza-id"


async def device(stage: Stage, account, resource: str, **login) -> Slix:
    """A client with slixmpp's own plugin for archives."""
    client = Slix(stage, account, resource)
    for plugin in ("xep_0059", "xep_0297", "xep_0313"):
        client.xmpp.register_plugin(plugin)
    return await client.login(**login)


async def history(client: Slix, *, reverse: bool = False, amount: int = 10, **query) -> list[tuple[str, str]]:
    """All of the archive in pages, as slixmpp reads it: ids and bodies."""
    found = []
    async for message in client.xmpp["xep_0313"].iterate(
            jid=client.account.jid, reverse=reverse, rsm={"max": amount}, **query):
        result = message["mam_result"]
        found.append((result["id"], result["forwarded"]["stanza"]["body"]))
    return found


def query(content: str = "", page: str = "", name: str = "") -> str:
    page = page and f"<set xmlns='http://jabber.org/protocol/rsm'>{page}</set>"
    return f"<query xmlns='urn:xmpp:mam:2' queryid='{name}'>{content}{page}</query>"


async def raw(client, content: str = "", page: str = "") -> tuple[list[str], ET.Element]:
    """A query by hand, for clients without a plugin: the bodies, and what the page was."""
    name = f"raw-{len(client.inbox.log())}"
    answer = await client.iq("set", query(content, page, name))
    assert answer.get("type") == "result", ET.tostring(answer)
    bodies = []
    while (got := client.inbox.find(lambda s: s.find(f"{MAM}result[@queryid='{name}']") is not None)) is not None:
        assert got.get("from") == client.account.jid and got.get("to") == client.jid
        bodies.append(got.findtext(f".//{CLIENT}body"))
    return bodies, answer.find(f"{MAM}fin")


@scenario(servers=("tercet",))
async def two_devices_see_the_same_history(stage: Stage):
    romeo, = await pair(stage, "romeo")
    account = await stage.account("juliet")
    phone = await device(stage, account, "phone")
    for turn in range(12):
        romeo.message(account.jid, f"romeo {turn}")
        await phone.inbox.message(f"romeo {turn}")
        phone.message(romeo.jid, f"juliet {turn}")
        await romeo.inbox.message(f"juliet {turn}")
    desk = await device(stage, account, "desk")
    expected = [f"{who} {turn}" for turn in range(12) for who in ("romeo", "juliet")]
    on_phone, on_desk = await history(phone), await history(desk, amount=7)
    assert [body for _, body in on_phone] == expected, on_phone
    assert on_desk == on_phone
    metadata = await desk.xmpp["xep_0313"].get_archive_metadata(timeout=TIMEOUT)
    assert metadata["mam_metadata"]["start"]["id"] == on_phone[0][0]
    assert metadata["mam_metadata"]["end"]["id"] == on_phone[-1][0]
    fields = await desk.xmpp["xep_0313"].get_fields(timeout=TIMEOUT)
    assert {"with", "start", "end", "before-id", "after-id", "ids"} <= set(fields.get_fields())


@scenario(servers=("tercet",))
async def paging_back_through_a_history_shows_each_message_once(stage: Stage):
    romeo, = await pair(stage, "romeo")
    account = await stage.account("juliet")
    phone = await device(stage, account, "phone")
    for turn in range(57):
        romeo.message(account.jid, str(turn))
    await phone.inbox.message("56")
    pages, before = [], "<before/>"
    while True:
        bodies, fin = await raw(phone, page=f"<max>10</max>{before}")
        pages = bodies + pages
        if fin.get("complete") == "true":
            break
        before = f"<before>{fin.findtext(f'{RSM}set/{RSM}first')}</before>"
    assert pages == [str(turn) for turn in range(57)], pages
    now = datetime.datetime.now(datetime.timezone.utc)
    assert await history(phone, start=now + datetime.timedelta(hours=1)) == []
    assert len(await history(phone, with_jid=romeo.account.jid, end=now + datetime.timedelta(hours=1))) == 57
    assert await history(phone, with_jid="nobody@elsewhere.test") == []


@scenario(servers=("tercet",))
async def the_id_of_a_live_message_is_that_in_the_archive_and_of_one_that_waited(stage: Stage):
    romeo, = await pair(stage, "romeo")
    account = await stage.account("juliet")
    phone = await device(stage, account, "phone")
    romeo.message(account.jid, "live")
    live = (await phone.inbox.message("live")).find(STANZA_ID)
    await phone.close()
    romeo.message(account.jid, "waited")
    await romeo.settle()
    desk = await device(stage, account, "desk")
    waited = (await desk.inbox.message("waited")).find(STANZA_ID)
    assert live.get("by") == waited.get("by") == account.jid
    assert await history(desk) == [(live.get("id"), "live"), (waited.get("id"), "waited")]
    newer, _ = await raw(desk, page=f"<after>{live.get('id')}</after>")
    assert newer == ["waited"], "who goes on from what it saw last gets the rest"


@scenario(servers=("tercet",))
async def another_users_archive_is_nobody_elses(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    romeo.message(juliet.jid, "secret")
    await juliet.inbox.message("secret")
    mallory = await device(stage, await stage.account("mallory"), "desk")
    for kind, payload in (("set", query()), ("get", query()), ("get", "<metadata xmlns='urn:xmpp:mam:2'/>"),
                          ("get", "<prefs xmlns='urn:xmpp:mam:2'/>"),
                          ("set", "<prefs xmlns='urn:xmpp:mam:2' default='never'/>")):
        assert await mallory.iq_error(kind, payload, juliet.account.jid) == "forbidden"
    assert await mallory.iq_error("set", query(page="<after>1</after>")) == "item-not-found"


@scenario(servers=("tercet",))
async def a_forged_result_or_id_never_arrives_as_the_servers(stage: Stage):
    mallory, romeo = await pair(stage, "mallory", "romeo")
    mallory.send(f"<message to='{romeo.jid}' type='chat' id='f1'><result xmlns='urn:xmpp:mam:2' id='1'>"
                 "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' type='chat' "
                 "from='juliet@elsewhere.test'><body>Meet me</body></message></forwarded></result></message>")
    await mallory.inbox.expect("an error", lambda s: s.get("id") == "f1" and s.get("type") == "error")
    mallory.send(f"<message to='{romeo.jid}' type='chat' id='f2'><body>hello</body>"
                 f"<stanza-id xmlns='urn:xmpp:sid:0' id='forged' by='{romeo.account.jid}'/></message>")
    got = await romeo.inbox.message("hello")
    assert [i.get("id") for i in got.iter(STANZA_ID) if i.get("id") == "forged"] == []
    assert len(list(got.iter(STANZA_ID))) == 1
    await quiet(mallory, romeo)
    assert romeo.inbox.find(lambda s: s.find(f"{MAM}result") is not None) is None


@scenario(servers=("tercet",))
async def preferences_are_kept_and_followed(stage: Stage):
    romeo, = await pair(stage, "romeo")
    juliet = await device(stage, await stage.account("juliet"), "desk")
    await juliet.iq("set", "<prefs xmlns='urn:xmpp:mam:2' default='always'><always/>"
                           f"<never><jid>{romeo.account.jid}</jid></never></prefs>")
    romeo.message(juliet.jid, "unkept")
    await juliet.inbox.message("unkept")
    assert await history(juliet) == []
    prefs = (await juliet.iq("get", "<prefs xmlns='urn:xmpp:mam:2'/>")).find(f"{MAM}prefs")
    assert [jid.text for jid in prefs.find(f"{MAM}never")] == [romeo.account.jid]


@scenario(servers=("tercet",))
async def a_retracted_message_is_a_tombstone_on_every_device(stage: Stage):
    romeo, = await pair(stage, "romeo")
    juliet = await device(stage, await stage.account("juliet"), "desk")
    romeo.send(f"<message to='{juliet.jid}' type='chat' id='wrong'><body>oops</body></message>")
    await juliet.inbox.message("oops")
    romeo.send(f"<message to='{juliet.jid}' type='chat' id='r1'><retract xmlns='urn:xmpp:message-retract:1' id='wrong'/></message>")
    await romeo.settle()
    for client in (juliet, romeo):
        await client.iq("set", query())
        got = await client.inbox.expect("a tombstone", lambda s: s.find(".//{urn:xmpp:message-retract:1}retracted") is not None)
        assert got.find(f".//{CLIENT}body") is None


@scenario(servers=("tercet",))
async def aioxmpp_and_xmpp_js_read_what_slixmpp_wrote(stage: Stage):
    romeo, = await pair(stage, "romeo")
    account = await stage.account("juliet")
    desk = await Aio(stage, account, "desk").login()
    for turn in range(5):
        romeo.message(account.jid, f"to juliet {turn}")
    await romeo.settle()
    await desk.settle()
    page = await Web(stage, account, "page").login()
    bodies, fin = await raw(page, page="<max>3</max><before/>")
    assert bodies == ["to juliet 2", "to juliet 3", "to juliet 4"], bodies
    assert fin.get("complete") != "true"
    older, fin = await raw(page, page=f"<before>{fin.findtext(f'{RSM}set/{RSM}first')}</before>")
    assert older == ["to juliet 0", "to juliet 1"] and fin.get("complete") == "true"


@scenario(servers=("tercet",))
async def a_field_that_is_not_known_is_refused(stage: Stage):
    romeo, = await pair(stage, "romeo")
    form = ("<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>"
            "<field var='colour'><value>red</value></field></x>")
    try:
        await romeo.iq("set", query(form))
    except IqError as error:
        assert error.condition == "feature-not-implemented"
    else:
        raise AssertionError("must be refused")
