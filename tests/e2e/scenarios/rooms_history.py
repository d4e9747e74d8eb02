"""What a room remembers: history at a join (XEP-0045 §7.2.13), the room's archive (XEP-0313), and both after a restart or kill -9."""

import asyncio
import datetime
import itertools
import json
import xml.etree.ElementTree as ET

from harness.inbox import CLIENT
from harness.managed import Managed
from harness.people import pair
from harness.rooms import (
    DELAY, MUC, OCCUPANT_ID, STANZA_ID, ask, change, codes, configure, create, enter, form, hears, info, leave, listed, rank,
    refused, say, sees, together,
)
from harness.scenario import Stage, scenario
from harness.slix import Slix

from .operations import own_server, tercet

ONLY_HERE = ("tercet",)
MAM = "urn:xmpp:mam:2"
RSM = "http://jabber.org/protocol/rsm"

_queries = itertools.count(1)


async def spoken(stage: Stage, count: int, **config) -> tuple[str, Slix, list[str]]:
    """A room in which its owner has said so much: room, owner, bodies."""
    owner, = await pair(stage, "owner")
    room = await create(stage, owner, nick="owner", **config)
    lines = [f"line {number}" for number in range(count)]
    for line in lines:
        say(owner, room, line)
    for line in lines:
        await hears(owner, room, "owner", line)
    return room, owner, lines


async def archived(client: Slix, room: str, filters: str = "", page: str = "") -> list[tuple[str, ET.Element]]:
    """A page of the room's archive: ids and messages."""
    query = f"q{next(_queries)}"
    form = f"<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>{MAM}</value></field>{filters}</x>" if filters else ""
    await client.iq("set", f"<query xmlns='{MAM}' queryid='{query}'>{form}<set xmlns='{RSM}'>{page}</set></query>", room)
    found = []
    while (message := client.inbox.find(lambda s: (r := s.find(f"{{{MAM}}}result")) is not None and r.get("queryid") == query)) is not None:
        assert message.get("from") == room, ET.tostring(message)
        result = message.find(f"{{{MAM}}}result")
        found.append((result.get("id"), result.find(f"{{urn:xmpp:forward:0}}forwarded/{CLIENT}message")))
    return found


def bodies(page: list[tuple[str, ET.Element]]) -> list[str]:
    return [message.findtext(CLIENT + "body") for _, message in page if message.find(CLIENT + "body") is not None]


@scenario
async def who_comes_in_chooses_how_much_history(stage: Stage):
    room, _, lines = await spoken(stage, 6)
    juliet, = await pair(stage, "juliet")
    for history, expected in (("maxstanzas='0'", []), ("maxchars='0'", []), ("maxstanzas='2'", lines[-2:]), ("seconds='0'", []),
                              ("seconds='3600'", lines), ("maxstanzas='3' seconds='3600'", lines[-3:]),
                              ("since='1970-01-01T00:00:00Z'", lines), ("since='2999-01-01T00:00:00Z'", [])):
        if stage.server.name != "tercet" and ("maxchars" in history or history == "seconds='0'"):
            continue
        entered = await enter(juliet, room, "juliet", history=history)
        assert entered.said == expected, f"{history}: {entered.said}"
        await leave(juliet, room, "juliet")


@scenario(servers=ONLY_HERE)
async def nonsense_as_a_wish_for_history_is_no_reason_to_fail(stage: Stage):
    room, _, lines = await spoken(stage, 3)
    juliet, = await pair(stage, "juliet")
    for history in ("maxstanzas='-1'", "maxstanzas='99999999999999999999999'", "seconds='many'", "since='yesterday'", "maxchars=''"):
        try:
            entered = await enter(juliet, room, "juliet", history=history)
        except Exception as refused_:
            assert getattr(refused_, "condition", "") == "bad-request", f"{history}: {refused_!r}"
            continue
        assert entered.said == lines[-len(entered.said):] or not entered.said, f"{history}: {entered.said}"
        await leave(juliet, room, "juliet")


@scenario(servers=ONLY_HERE)
async def the_configured_length_of_history_is_what_comes_unasked(stage: Stage):
    room, owner, lines = await spoken(stage, 8)
    juliet, = await pair(stage, "juliet")
    assert (await enter(juliet, room, "juliet")).said == lines
    await leave(juliet, room, "juliet")
    fields = await form(owner, room)
    if name := next((name for name in ("muc#maxhistoryfetch", "maxhistoryfetch", "historylength") if name in fields), None):
        await configure(owner, room, **{name: 3})
        assert (await enter(juliet, room, "juliet")).said == lines[-3:]


@scenario
async def history_says_who_said_it_when_and_under_which_id(stage: Stage):
    owner, juliet = await pair(stage, "owner", "juliet")
    room = await create(stage, owner, nick="owner")
    say(owner, room, "an old word", "<x xmlns='u:x'/>", id_="its-id")
    live = await hears(owner, room, "owner", "an old word")
    old, = (await enter(juliet, room, "juliet")).history
    assert old.get("id") == "its-id" and old.get("from") == f"{room}/owner" and old.find("{u:x}x") is not None
    stamp = old.find(DELAY)
    assert stamp.get("from") in (room, None), ET.tostring(old)
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(stamp.get("stamp"))
    assert datetime.timedelta(seconds=-2) < age < datetime.timedelta(minutes=1), stamp.get("stamp")
    # XEP-0359: the room's id, the same in both, and nobody else's.
    assert [one.get("by") for one in live.findall(STANZA_ID) if one.get("by") == room] == [room]
    assert [one.get("id") for one in live.findall(STANZA_ID) if one.get("by") == room] == [
        one.get("id") for one in old.findall(STANZA_ID) if one.get("by") == room]
    assert live.find(OCCUPANT_ID).get("id") == old.find(OCCUPANT_ID).get("id")


@scenario(servers=ONLY_HERE)
async def an_id_that_claims_to_be_the_rooms_is_dropped(stage: Stage):
    owner, juliet = await pair(stage, "owner", "juliet")
    room = await create(stage, owner, nick="owner")
    await enter(juliet, room, "juliet")
    say(juliet, room, "mine", f"<stanza-id xmlns='urn:xmpp:sid:0' by='{room}' id='false'/><stanza-id xmlns='urn:xmpp:sid:0' by='other@x.test' id='o'/>")
    got = await hears(owner, room, "juliet", "mine")
    ids = {one.get("by"): one.get("id") for one in got.findall(STANZA_ID)}
    assert ids[room] != "false" and len([one for one in got.findall(STANZA_ID) if one.get("by") == room]) == 1, ET.tostring(got)


@scenario
async def the_rooms_archive_is_paged_by_its_ids(stage: Stage):
    room, owner, lines = await spoken(stage, 7)
    assert MAM in (await info(owner, room))[1]
    whole = await archived(owner, room)
    assert bodies(whole) == lines
    first = await archived(owner, room, page="<max>3</max>")
    assert bodies(first) == lines[:3]
    after = await archived(owner, room, page=f"<max>100</max><after>{first[-1][0]}</after>")
    assert bodies(after) == lines[3:]
    last = await archived(owner, room, page="<max>2</max><before/>")
    assert bodies(last) == lines[-2:]
    assert all(message.get("from") == f"{room}/owner" and message.get("type") == "groupchat" for _, message in whole)
    # What is heard now has the id that it has in the archive.
    say(owner, room, "one more")
    live = await hears(owner, room, "owner", "one more")
    live_id = next(one.get("id") for one in live.findall(STANZA_ID) if one.get("by") == room)
    assert (await archived(owner, room, page="<max>1</max><before/>"))[0][0] == live_id


@scenario
async def history_and_archive_together_have_each_message_once(stage: Stage):
    room, owner, lines = await spoken(stage, 4)
    juliet, = await pair(stage, "juliet")
    known = (await enter(juliet, room, "juliet")).history
    seen = [next(one.get("id") for one in old.findall(STANZA_ID) if one.get("by") == room) for old in known]
    await leave(juliet, room, "juliet")
    for number in range(3):
        say(owner, room, f"meanwhile {number}")
    await together(room, owner, "owner")
    # As clients do: no history, then the archive from the last known id on.
    entered = await enter(juliet, room, "juliet", history="maxstanzas='0'")
    assert entered.history == []
    missed = await archived(juliet, room, page=f"<after>{seen[-1]}</after>")
    assert bodies(missed)[:3] == ["meanwhile 0", "meanwhile 1", "meanwhile 2"] and len(bodies(missed)) == 4
    assert not set(seen) & {id_ for id_, _ in missed}
    # And as those do that know no archive: history has the same ids.
    await leave(juliet, room, "juliet")
    again = await enter(juliet, room, "juliet")
    ids = [next(one.get("id") for one in old.findall(STANZA_ID) if one.get("by") == room) for old in again.history]
    whole = await archived(juliet, room)
    assert len(ids) == len(set(ids)) and ids == [id_ for id_, message in whole if message.find(CLIENT + "body") is not None][-len(ids):]


@scenario(servers=ONLY_HERE)
async def an_archive_is_read_by_those_who_may_enter(stage: Stage):
    room, owner, lines = await spoken(stage, 2, membersonly=True)
    tybalt, member = await pair(stage, "tybalt", "member")
    await change(owner, room, jid=member.account.jid, affiliation="member")
    assert bodies(await archived(member, room)) == lines
    query = f"<query xmlns='{MAM}' queryid='no'/>"
    assert await tybalt.iq_error("set", query, room) in ("forbidden", "not-allowed", "not-authorized", "registration-required")
    secret = await create(stage, owner, "secret", nick="owner", passwordprotectedroom=True, roomsecret="nightingale")
    say(owner, secret, "the password is needed")
    await hears(owner, secret, "owner", "the password is needed")
    assert await tybalt.iq_error("set", query, secret) in ("forbidden", "not-allowed", "not-authorized")
    await change(owner, secret, jid=tybalt.account.jid, affiliation="outcast")
    assert await tybalt.iq_error("set", query, secret) in ("forbidden", "not-allowed", "not-authorized")


@scenario(servers=ONLY_HERE)
async def private_messages_are_not_in_the_rooms_archive(stage: Stage):
    owner, juliet = await pair(stage, "owner", "juliet")
    room = await create(stage, owner, nick="owner")
    await enter(juliet, room, "juliet")
    owner.send(f"<message type='chat' to='{room}/juliet'><body>psst</body><x xmlns='{MUC}#user'/></message>")
    await juliet.inbox.message("psst")
    await together(room, owner, "owner", juliet)
    assert "psst" not in bodies(await archived(juliet, room))
    assert "psst" not in (await enter(juliet, room, "juliet")).said


async def what_a_room_keeps(stage: Stage, stop: str) -> None:
    """A room is made and used, the server stopped in that way and started again."""
    async with own_server(stage) as beside:
        owner, juliet, tybalt = await pair(beside, "owner", "juliet", "tybalt")
        room = await create(beside, owner, nick="owner", persistentroom=True, roomname="The garden", moderatedroom=True, publicroom=False)
        await change(owner, room, jid=juliet.account.jid, affiliation="admin")
        await change(owner, room, jid=tybalt.account.jid, affiliation="outcast", reason="Duel")
        passing = await create(beside, owner, "passing", nick="owner")
        entered = await enter(juliet, room, "juliet")
        occupant = entered.own.find(OCCUPANT_ID).get("id")
        for number in range(5):
            say(owner, room, f"line {number}")
        await together(room, juliet, "juliet", owner)
        owner.send(f"<message type='groupchat' to='{room}'><subject>Nightingales</subject></message>")
        await juliet.inbox.expect("subject", lambda s: s.findtext(CLIENT + "subject") == "Nightingales")
        whole = await archived(juliet, room)
        await asyncio.to_thread(getattr(beside.server, stop))
        if stop == "stop" and beside.server.name == "tercet":
            for client, nick in ((owner, "owner"), (juliet, "juliet")):
                # §11.2: told by the server before it ends, so that a client knows whether to enter again.
                gone = await sees(client, room, nick, "unavailable")
                assert codes(gone) == {110, 332}, ET.tostring(gone)
        await asyncio.to_thread(beside.server.start)
        owner, juliet, tybalt = [await Slix(beside, one.account, "desk").login() for one in (owner, juliet, tybalt)]
        # What Prosody has of these it writes when it stops, its subject and history excepted.
        entered = await enter(juliet, room, "juliet")
        assert rank(entered.own) == ("admin", "moderator") and entered.others == {}
        assert entered.own.find(OCCUPANT_ID).get("id") == occupant
        identity, features, _ = await info(juliet, room)
        assert identity["name"] == "The garden" and features >= {"muc_persistent", "muc_moderated", "muc_hidden"}
        assert await refused(tybalt, room, "tybalt") == "forbidden"
        outcast, = await listed(juliet, room, affiliation="outcast")
        assert outcast.get("jid") == tybalt.account.jid
        assert entered.subject.findtext(CLIENT + "subject") == "Nightingales"
        assert entered.subject.get("from") in (f"{room}/owner", room)
        assert [one for one in entered.said if one.startswith("line")] == [f"line {number}" for number in range(5)], entered.said
        assert [id_ for id_, _ in await archived(juliet, room)] == [id_ for id_, _ in whole]
        say(juliet, room, "after the restart")
        live = await hears(juliet, room, "juliet", "after the restart")
        latest = await archived(juliet, room, page="<max>1</max><before/>")
        assert latest[0][0] == next(one.get("id") for one in live.findall(STANZA_ID) if one.get("by") == room)
        await enter(owner, room, "owner")
        # The room that was not to be kept: nobody is in it.
        ask(owner, passing, "owner")
        entered = await sees(owner, passing, "owner")
        assert 110 in codes(entered)


@scenario
async def a_room_is_the_same_after_a_restart(stage: Stage):
    await what_a_room_keeps(stage, "stop")


@scenario(servers=ONLY_HERE)
async def a_room_is_the_same_after_kill_9(stage: Stage):
    await what_a_room_keeps(stage, "kill")


@scenario(servers=ONLY_HERE)
async def what_was_acknowledged_is_in_the_rooms_archive_after_kill_9(stage: Stage):
    async with own_server(stage) as beside:
        owner, = await pair(beside, "owner")
        account = owner.account
        room = await create(beside, owner, nick="owner", persistentroom=True)
        acknowledged = []
        for turn in range(3):
            phone = await Managed(beside, account, "phone").login()
            phone.send(f"<presence to='{room}/owner'><x xmlns='{MUC}'/></presence>")
            before = 2
            for number in range(40):
                phone.send(f"<message type='groupchat' to='{room}'><body>{turn}-{number}</body></message>")
            phone.ask()
            await phone.until(lambda: phone.acknowledged >= before + 5)
            await asyncio.to_thread(beside.server.kill)
            acknowledged += [f"{turn}-{number}" for number in range(phone.acknowledged - before)]
            await asyncio.to_thread(beside.server.start)
            reader = await Slix(beside, account, "desk").login()
            kept = bodies(await archived(reader, room, page="<max>200</max>"))
            assert [body for body in kept if body in acknowledged] == acknowledged, (turn, acknowledged, kept)
            assert len(kept) == len(set(kept)), kept
            await reader.close()
        # An operator gets the same, whether the server runs or not.
        for stopped in (False, True):
            if stopped:
                await asyncio.to_thread(beside.server.stop)
            status, said = await tercet(beside.server, "room", "export", room)
            lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
            exported = [line["message"] for line in lines if "message" in line]
            assert status == 0 and {message["by"].split("/")[0] for message in exported} == {account.jid}, said
            assert [ET.fromstring(message["message"]).findtext(CLIENT + "body") for message in exported] == kept, said
