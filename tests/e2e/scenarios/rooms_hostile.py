"""What people do to harm a room and those in it, as bytes on a socket: each gets its error and changes nothing."""

import asyncio
import re

from harness.people import pair
from harness.rooms import MUC, change, create, enter, forget, info, item, join, listed, of_room, sees, submission, together
from harness.scenario import Stage, scenario

from .hostile import Raw
from .operations import own_server

ONLY_HERE = ("tercet",)


async def joined(stage: Stage, room: str, nick: str, name: str = "mallory") -> Raw:
    """Somebody in the room on a socket."""
    raw = await Raw.login(stage, await stage.account(name))
    await raw.exchange(join(room, nick), "<subject")
    return raw


@scenario
async def nobody_speaks_with_the_address_of_another(stage: Stage):
    owner, = await pair(stage, "owner")
    room = await create(stage, owner, nick="owner")
    mallory = await joined(stage, room, "mallory")
    outside = await Raw.login(stage, await stage.account("outside"))
    await sees(owner, room, "mallory")
    for raw in (mallory, outside):
        for sender in (f"{room}/owner", room, owner.jid):
            raw.send(f"<message type='groupchat' from='{sender}' to='{room}'><body>forged</body></message>")
            if await ended(raw):
                break
    # A message or presence that looks as if it came from a room, sent straight to somebody.
    raw = await Raw.login(stage, await stage.account("third"))
    raw.send(f"<message type='groupchat' to='{owner.jid}' id='straight'><body>forged</body></message>")
    await owner.inbox.expect("the real sender", lambda s: s.get("id") != "straight" or s.get("from") == raw.jid)
    await together(room, owner, "owner")
    forged = owner.inbox.find(lambda s: of_room(s, room) and "forged" in "".join(s.itertext()) and not s.get("from").endswith("/mallory"))
    assert forged is None, owner.seen()


async def ended(raw: Raw) -> bool:
    """Whether the server has ended the stream."""
    try:
        await raw.settled()
        return False
    except AssertionError:
        return True


@scenario
async def claims_of_rank_in_ones_own_presence_are_dropped(stage: Stage):
    owner, = await pair(stage, "owner")
    room = await create(stage, owner, nick="owner")
    mallory = await joined(stage, room, "mallory")
    forget(room, owner)
    claim = (f"<x xmlns='{MUC}#user'><item affiliation='owner' role='moderator' jid='{owner.jid}'/><status code='110'/>"
             "<status code='201'/><status code='307'/></x>")
    mallory.send(f"<presence to='{room}/mallory'><show>dnd</show>{claim}</presence>")
    seen = await owner.inbox.expect("the change", lambda s: s.get("from") == f"{room}/mallory" and s.findtext("{jabber:client}show") == "dnd")
    assert item(seen).get("role") == "participant" and item(seen).get("jid") == mallory.jid
    assert [one.get("code") for one in seen.iter(f"{{{MUC}#user}}status")] == []
    assert len(seen.findall(f"{{{MUC}#user}}x")) == 1


@scenario
async def status_codes_and_invitations_are_not_smuggled_into_messages(stage: Stage):
    owner, = await pair(stage, "owner")
    room = await create(stage, owner, nick="owner")
    mallory = await joined(stage, room, "mallory")
    mallory.send(f"<message type='groupchat' to='{room}'><body>look</body><x xmlns='{MUC}#user'><status code='104'/></x></message>")
    await mallory.settled()
    await together(room, owner, "owner")
    got = owner.inbox.find(lambda s: s.findtext("{jabber:client}body") == "look")
    assert stage.server.name != "tercet" or got is None or got.find(f".//{{{MUC}#user}}status") is None, owner.seen()


@scenario
async def commands_above_ones_rank_change_nothing(stage: Stage):
    owner, juliet = await pair(stage, "owner", "juliet")
    room = await create(stage, owner, nick="owner", roomname="as it was")
    await enter(juliet, room, "juliet")
    mallory = await joined(stage, room, "mallory")
    outside = await Raw.login(stage, await stage.account("outside"))
    me = mallory.jid.split("/")[0]
    attempts = [
        f"<query xmlns='{MUC}#admin'><item jid='{me}' affiliation='owner'/></query>",
        f"<query xmlns='{MUC}#admin'><item jid='{me}' affiliation='member'/></query>",
        f"<query xmlns='{MUC}#admin'><item nick='mallory' role='moderator'/></query>",
        f"<query xmlns='{MUC}#admin'><item nick='owner' role='none'/></query>",
        f"<query xmlns='{MUC}#admin'><item nick='juliet' role='none'/></query>",
        f"<query xmlns='{MUC}#admin'><item jid='{owner.account.jid}' affiliation='outcast'/></query>",
        f"<query xmlns='{MUC}#owner'><destroy/></query>",
        submission({"roomname": "mine"}),
        f"<query xmlns='{MUC}#owner'><x xmlns='jabber:x:data' type='cancel'/></query>",
    ]
    for raw in (mallory, outside):
        for number, attempt in enumerate(attempts):
            answer = await raw.exchange(f"<iq type='set' id='a{number}' to='{room}'>{attempt}</iq>", f"<iq[^>]*id='a{number}'.*?</iq>")
            assert re.search(f"<iq[^>]*type='error'[^>]*>|<iq[^>]*id='a{number}'[^>]*type='error'", answer), (attempt, answer)
            assert re.search("<(forbidden|not-allowed|not-acceptable)", answer), (attempt, answer)
    assert (await info(juliet, room))[0]["name"] == "as it was"
    assert [one.get("jid") for one in await listed(owner, room, affiliation="owner")] == [owner.account.jid]
    assert {one.get("nick") for one in await listed(owner, room, role="participant")} == {"juliet", "mallory"}


MALFORMED = [
    "<query xmlns='{m}#admin'/>", "<query xmlns='{m}#admin'><item/></query>", "<query xmlns='{m}#admin'><item jid='@@@' affiliation='member'/></query>",
    "<query xmlns='{m}#admin'><item jid='a@b.test' affiliation='emperor'/></query>", "<query xmlns='{m}#admin'><item nick='juliet' role='emperor'/></query>",
    "<query xmlns='{m}#admin'><item nick='juliet'/></query>", "<query xmlns='{m}#admin'><item affiliation='member' role='visitor'/></query>",
    "<query xmlns='{m}#owner'><x xmlns='jabber:x:data' type='party'/></query>", "<query xmlns='{m}#owner'><destroy jid='@'/></query>",
    "<query xmlns='{m}#owner'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:other</value></field>"
    "<field var='muc#roomconfig_roomname'><value>changed</value></field></x></query>",
    "<query xmlns='{m}#owner'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>{m}#roomconfig</value></field>"
    "<field><value>nameless</value></field><field var='muc#roomconfig_roomname'><value>changed</value></field></x></query>",
    "<query xmlns='{m}#owner'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>{m}#roomconfig</value></field>"
    "<field var='muc#roomconfig_roomname'><value>" + "n" * 100_000 + "</value></field></x></query>",
    "<unknown xmlns='urn:unknown'/>",
]


@scenario(servers=ONLY_HERE)
async def malformed_requests_of_an_owner_change_nothing(stage: Stage):
    owner = await Raw.login(stage, await stage.account("owner"))
    juliet, = await pair(stage, "juliet")
    room = stage.room("garden")
    await owner.exchange(join(room, "owner"), "code='201'")
    await owner.exchange(f"<iq type='set' id='open' to='{room}'>{submission({'roomname': 'as it was'})}</iq>", "<iq[^>]*id='open'[^>]*>")
    await enter(juliet, room, "juliet")
    for number, request in enumerate(MALFORMED):
        request = request.replace("{m}", MUC)
        answer = await owner.exchange(f"<iq type='set' id='m{number}' to='{room}'>{request}</iq>", f"<iq[^>]*id='m{number}'.*?</iq>|<iq[^>]*id='m{number}'[^>]*/>")
        answer = answer[answer.rindex("<iq"):]
        assert "type='error'" in answer, (request[:300], answer)
        assert re.search("<(bad-request|jid-malformed|not-acceptable|item-not-found|feature-not-implemented|service-unavailable|not-allowed|policy-violation)",
                         answer), (request[:300], answer)
    assert (await info(juliet, room))[0]["name"] == "as it was"


@scenario
async def a_nick_that_is_none_is_refused(stage: Stage):
    owner, = await pair(stage, "owner")
    room = await create(stage, owner, nick="owner")
    raw = await Raw.login(stage, await stage.account("mallory"))
    # No nick at all (§7.2.1: jid-malformed, not with every peer), one above the 1023 bytes of RFC 7622, one of a space.
    for nick in ("", "n" * 1024, " "):
        raw.send(f"<presence id='j' to='{room}{'/' + nick if nick else ''}'><x xmlns='{MUC}'/></presence>")
        answer = await raw.settled()
        refusal = re.search("<presence[^>]*type='error'.*?</presence>", answer, re.S)
        assert refusal and "code='110'" not in answer, (nick[:20], answer)
        if nick == "" and stage.server.name == "tercet":
            assert "<jid-malformed" in refusal[0], refusal[0]
    await together(room, owner, "owner")
    assert (await info(owner, room))[2]["muc#roominfo_occupants"] == "1"


@scenario(servers=ONLY_HERE)
async def a_nick_has_a_limit_below_that_of_a_resource(stage: Stage):
    owner, = await pair(stage, "owner")
    room = await create(stage, owner, nick="owner")
    raw = await Raw.login(stage, await stage.account("mallory"))
    await raw.exchange(join(room, "mallory"), "<subject")
    for nick in ("n" * 1000, "\u2764" * 340):
        raw.send(f"<presence id='j' to='{room}/{nick}'/>")
        answer = await raw.settled()
        assert re.search("<presence[^>]*type='error'", answer) and re.search("<(not-acceptable|policy-violation|jid-malformed)", answer), answer[:2000]
    assert {one.get("nick") for one in await listed(owner, room, role="participant")} == {"mallory"}


@scenario(servers=ONLY_HERE, limit=90)
async def a_flood_of_joins_and_rooms_meets_a_limit_and_disturbs_nobody(stage: Stage):
    async with own_server(stage, start=False) as beside:
        config = beside.server.config
        # As people run it: with the limits.
        config.write_text(config.read_text().replace("rates = false", "rates = true"))
        await asyncio.to_thread(beside.server.start)
        owner, juliet = await pair(beside, "owner", "juliet")
        room = await create(beside, owner, nick="owner")
        await enter(juliet, room, "juliet")
        mallory = await Raw.login(beside, await beside.account("mallory"))
        for number in range(1500):
            mallory.send(join(f"flood-{number}@{beside.server.rooms}", "m"))
        for number in range(300):
            mallory.send(join(room, "m") + f"<presence type='unavailable' to='{room}/m'/>")
        flood = asyncio.ensure_future(mallory.drain())
        for turn in range(5):
            began = asyncio.get_running_loop().time()
            await together(room, owner, "owner", juliet)
            assert asyncio.get_running_loop().time() - began < 2, "others wait"
        flood.cancel()
        try:
            text = await mallory.settled()
        except AssertionError:
            text = mallory._text
        refused = len(re.findall("<(?:resource-constraint|policy-violation|not-allowed)", text))
        made = text.count("code='201'")
        assert made < 1000, made
        assert refused or "<stream:error" in text or made < 1500, text[-500:]


@scenario
async def an_error_from_one_who_is_outside_takes_nobody_out(stage: Stage):
    owner, juliet = await pair(stage, "owner", "juliet")
    room = await create(stage, owner, nick="owner")
    await enter(juliet, room, "juliet")
    outside = await Raw.login(stage, await stage.account("outside"))
    gone = "<error type='cancel'><remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    for kind in ("message", "presence"):
        for to in (room, f"{room}/juliet", f"{room}/owner"):
            outside.send(f"<{kind} type='error' to='{to}'>{gone}</{kind}>")
    await outside.settled()
    await together(room, owner, "owner", juliet)
    owner.inbox.no_presence(f"{room}/juliet", "unavailable")


@scenario
async def an_outcast_finds_no_way_in(stage: Stage):
    owner, = await pair(stage, "owner")
    room = await create(stage, owner, nick="owner")
    mallory = await Raw.login(stage, await stage.account("mallory"), "one")
    await change(owner, room, jid=mallory.jid.split("/")[0], affiliation="outcast")
    for nick in ("mallory", "owner", "MALLORY"):
        answer = await mallory.exchange(join(room, nick), "</presence>")
        assert "type='error'" in answer and "<forbidden" in answer, answer
    mallory.send(f"<message type='groupchat' to='{room}'><body>I am here</body></message>")
    mallory.send(f"<message type='chat' to='{room}/owner'><body>I am here</body></message>")
    mallory.send(f"<message to='{room}'><x xmlns='{MUC}#user'><invite to='{mallory.jid}'/></x></message>")
    await mallory.settled()
    await together(room, owner, "owner")
    owner.inbox.no_message("I am here")
