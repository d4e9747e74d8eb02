"""XEP-0045: who may what in a room, and what changes when that changes."""

import xml.etree.ElementTree as ET

from harness.inbox import CLIENT
from harness.people import pair
from harness.rooms import (
    FORM, MUC, USER, change, codes, condition, configure, create, enter, fails, forget, hears, info, item, items, leave, listed, may_not,
    of_room, rank, refused, say, sees, submission, together, whisper,
)
from harness.scenario import Stage, scenario
from harness.slix import Slix

ONLY_HERE = ("tercet",)


async def inside(stage: Stage, *names: str, **config) -> tuple:
    """People in a room of the first of them, each under the own name; the room comes first."""
    people = await pair(stage, *names)
    room = await create(stage, people[0], nick=names[0], **config)
    for person, name in zip(people[1:], names[1:]):
        await enter(person, room, name)
        for other, _ in zip(people, names[:names.index(name)]):
            await sees(other, room, name)
    forget(room, *people)
    return room, *people


@scenario
async def a_kick_takes_out_whoever_is_not_protected_by_rank(stage: Stage):
    room, owner, juliet, nurse = await inside(stage, "owner", "juliet", "nurse")
    await change(owner, room, nick="juliet", role="none", reason="Too loud")
    for client in (owner, juliet, nurse):
        gone = await sees(client, room, "juliet", "unavailable")
        assert 307 in codes(gone) and (110 in codes(gone)) == (client is juliet), ET.tostring(gone)
        assert item(gone).get("role") == "none" and item(gone).findtext(USER + "reason") == "Too loud"
    await enter(juliet, room, "juliet")
    assert await may_not(juliet, room, nick="nurse", role="none") in ("forbidden", "not-allowed")
    await change(owner, room, nick="juliet", role="moderator")
    # §8.2: nobody of a higher affiliation is kicked.
    assert await may_not(juliet, room, nick="owner", role="none") == "not-allowed"
    assert await may_not(owner, room, nick="nobody", role="none") == "item-not-found"
    forget(room, owner)
    await together(room, owner, "owner", juliet, nurse)
    owner.inbox.no_presence(f"{room}/owner", "unavailable")


@scenario
async def a_ban_takes_out_and_keeps_out(stage: Stage):
    room, owner, juliet, nurse = await inside(stage, "owner", "juliet", "nurse")
    await change(owner, room, jid=juliet.account.jid, affiliation="outcast", reason="Treason")
    for client in (owner, juliet, nurse):
        gone = await sees(client, room, "juliet", "unavailable")
        assert 301 in codes(gone) and rank(gone) == ("outcast", "none"), ET.tostring(gone)
        assert item(gone).findtext(USER + "reason") == "Treason"
    assert await refused(juliet, room, "juliet") == "forbidden"
    assert await refused(juliet, room, "anybody") == "forbidden"
    outcasts = await listed(owner, room, affiliation="outcast")
    assert [one.get("jid") for one in outcasts] == [juliet.account.jid]
    assert await nurse.iq_error("get", f"<query xmlns='{MUC}#admin'><item affiliation='outcast'/></query>", room) == "forbidden"
    await change(owner, room, jid=juliet.account.jid, affiliation="none")
    await enter(juliet, room, "juliet")


@scenario
async def nobody_bans_himself_or_a_higher_rank(stage: Stage):
    room, owner, juliet = await inside(stage, "owner", "juliet")
    await change(owner, room, jid=juliet.account.jid, affiliation="admin")
    assert await may_not(juliet, room, jid=owner.account.jid, affiliation="outcast") == "not-allowed"
    assert await may_not(owner, room, jid=owner.account.jid, affiliation="outcast") in ("conflict", "not-allowed")
    assert await may_not(juliet, room, jid=juliet.account.jid, affiliation="owner") in ("not-allowed", "forbidden")
    assert await may_not(juliet, room, jid="third@elsewhere.test", affiliation="admin") in ("not-allowed", "forbidden")
    entered = await enter(juliet, room, "juliet")
    assert rank(entered.own) == ("admin", "moderator")


@scenario
async def a_room_is_never_without_an_owner(stage: Stage):
    room, owner, juliet = await inside(stage, "owner", "juliet")
    # §10.4.
    assert await may_not(owner, room, jid=owner.account.jid, affiliation="member") in ("conflict", "not-allowed")
    await change(owner, room, jid=juliet.account.jid, affiliation="owner")
    await change(juliet, room, jid=owner.account.jid, affiliation="none")
    for client in (owner, juliet):
        left = await client.inbox.expect("an owner without rank", lambda s: s.get("from") == f"{room}/owner" and rank(s)[0] == "none")
        assert left.get("type") is None
    assert [one.get("jid") for one in await listed(juliet, room, affiliation="owner")] == [juliet.account.jid]


@scenario
async def only_members_come_into_a_members_only_room(stage: Stage):
    room, owner, = await inside(stage, "owner", membersonly=True)
    juliet, nurse = await pair(stage, "juliet", "nurse")
    await change(owner, room, jid=nurse.account.jid, affiliation="member")
    assert await refused(juliet, room, "juliet") == "registration-required"
    assert "muc_membersonly" in (await info(juliet, room))[1]
    assert rank((await enter(nurse, room, "nurse")).own) == ("member", "participant")
    await change(owner, room, jid=nurse.account.jid, affiliation="none")
    for client in (owner, nurse):
        gone = await sees(client, room, "nurse", "unavailable")
        assert 321 in codes(gone) and rank(gone) == ("none", "none"), ET.tostring(gone)


@scenario(servers=ONLY_HERE)
async def who_is_no_member_goes_when_a_room_becomes_members_only(stage: Stage):
    room, owner, juliet, nurse = await inside(stage, "owner", "juliet", "nurse")
    await change(owner, room, jid=nurse.account.jid, affiliation="member")
    forget(room, owner, juliet, nurse)
    await configure(owner, room, membersonly=True)
    for client in (owner, juliet, nurse):
        # §10.2.1.
        gone = await sees(client, room, "juliet", "unavailable")
        assert 322 in codes(gone), ET.tostring(gone)
    await together(room, owner, "owner", nurse)


@scenario
async def a_password_is_asked_of_everybody_who_comes(stage: Stage):
    room, owner, = await inside(stage, "owner", passwordprotectedroom=True, roomsecret="nightingale")
    juliet, = await pair(stage, "juliet")
    assert "muc_passwordprotected" in (await info(juliet, room))[1]
    assert await refused(juliet, room, "juliet") == "not-authorized"
    assert await refused(juliet, room, "juliet", password="lark") == "not-authorized"
    assert await refused(juliet, room, "juliet", password="") == "not-authorized"
    await enter(juliet, room, "juliet", password="nightingale")
    await configure(owner, room, passwordprotectedroom=False, roomsecret="")
    nurse, = await pair(stage, "nurse")
    await enter(nurse, room, "nurse")


@scenario(servers=ONLY_HERE)
async def a_full_room_takes_only_those_who_run_it(stage: Stage):
    room, owner, juliet = await inside(stage, "owner", "juliet", maxusers=2)
    nurse, admin = await pair(stage, "nurse", "admin")
    assert await refused(nurse, room, "nurse") == "service-unavailable"
    phone = await Slix(stage, juliet.account, "phone").login()
    # One more session of somebody inside is nobody more.
    await enter(phone, room, "juliet")
    await change(owner, room, jid=admin.account.jid, affiliation="admin")
    await enter(admin, room, "admin")
    for client, nick in ((phone, "juliet"), (juliet, "juliet"), (admin, "admin")):
        await leave(client, room, nick)
    await enter(nurse, room, "nurse")
    assert (await info(nurse, room))[2]["muc#roominfo_occupants"] == "2"


@scenario
async def in_a_moderated_room_voice_is_given_and_taken(stage: Stage):
    room, owner, juliet = await inside(stage, "owner", "juliet", moderatedroom=True)
    say(juliet, room, "may I?")
    assert await fails(juliet, room) == "forbidden"
    await change(owner, room, nick="juliet", role="participant", reason="Speak")
    for client in (owner, juliet):
        given = await sees(client, room, "juliet")
        assert rank(given) == ("none", "participant") and item(given).findtext(USER + "reason") == "Speak"
    say(juliet, room, "thank you")
    await hears(owner, room, "juliet", "thank you")
    await change(owner, room, nick="juliet", role="visitor")
    assert rank(await sees(juliet, room, "juliet")) == ("none", "visitor")
    say(juliet, room, "but")
    assert await fails(juliet, room) == "forbidden"
    visitors = [one for one in await listed(owner, room, role="visitor")]
    assert [one.get("nick") for one in visitors] == ["juliet"]


@scenario
async def a_visitor_asks_for_voice_and_a_moderator_grants_it(stage: Stage):
    room, owner, juliet = await inside(stage, "owner", "juliet", moderatedroom=True)
    kind = f"<field var='FORM_TYPE'><value>{MUC}#request</value></field>"
    juliet.send(f"<message to='{room}'><x xmlns='jabber:x:data' type='submit'>{kind}<field var='muc#role'>"
                "<value>participant</value></field></x></message>")
    asked = await owner.inbox.expect("a request for voice", lambda s: s.find(FORM + "x") is not None and s.get("from") == room)
    fields = {field.get("var"): field.findtext(FORM + "value") for field in asked.iter(FORM + "field")}
    assert fields["FORM_TYPE"] == MUC + "#request" and fields["muc#roomnick"] == "juliet", fields
    assert fields["muc#jid"] == juliet.jid and "muc#request_allow" in fields
    fields["muc#request_allow"] = "1"
    answer = "".join(f"<field var='{name}'><value>{value}</value></field>" for name, value in fields.items())
    owner.send(f"<message to='{room}'><x xmlns='jabber:x:data' type='submit'>{answer}</x></message>")
    given = await juliet.inbox.expect("voice", lambda s: s.get("from") == f"{room}/juliet" and rank(s)[1] == "participant")
    assert 110 in codes(given)


@scenario
async def a_moderator_is_made_and_unmade_by_an_admin_only(stage: Stage):
    room, owner, juliet, nurse = await inside(stage, "owner", "juliet", "nurse")
    await change(owner, room, nick="juliet", role="moderator")
    for client in (owner, juliet, nurse):
        assert rank(await sees(client, room, "juliet")) == ("none", "moderator")
    # A mere moderator makes no other (§5.1.1).
    assert await may_not(juliet, room, nick="nurse", role="moderator") in ("forbidden", "not-allowed")
    assert await may_not(juliet, room, nick="owner", role="participant") in ("forbidden", "not-allowed")
    await change(owner, room, nick="juliet", role="participant")
    assert rank(await sees(nurse, room, "juliet")) == ("none", "participant")
    # A role is of the visit (§5.1).
    await change(owner, room, nick="juliet", role="moderator")
    await leave(juliet, room, "juliet")
    assert rank((await enter(juliet, room, "juliet")).own) == ("none", "participant")


@scenario
async def affiliations_come_in_lists_with_their_reasons_and_outlast_a_visit(stage: Stage):
    room, owner, juliet = await inside(stage, "owner", "juliet")
    await change(owner, room, jid=juliet.account.jid, affiliation="admin", reason="trusted")
    await change(owner, room, jid="paris@elsewhere.test", affiliation="member")
    told = await sees(juliet, room, "juliet")
    assert rank(told) == ("admin", "moderator") and item(told).findtext(USER + "reason") == "trusted"
    members = await listed(juliet, room, affiliation="member")
    assert [one.get("jid") for one in members] == ["paris@elsewhere.test"]
    assert [one.get("jid") for one in await listed(owner, room, affiliation="admin")] == [juliet.account.jid]
    assert await juliet.iq_error("get", f"<query xmlns='{MUC}#admin'><item affiliation='nonsense'/></query>", room) == "bad-request"
    await leave(juliet, room, "juliet")
    assert rank((await enter(juliet, room, "juliet")).own) == ("admin", "moderator")


@scenario(servers=ONLY_HERE)
async def the_nick_of_a_member_is_kept_for_him(stage: Stage):
    room, owner, juliet = await inside(stage, "owner", "juliet")
    await owner.iq("set", items({"jid": "paris@elsewhere.test", "affiliation": "member", "nick": "Paris"}), room)
    assert [one.get("nick") for one in await listed(owner, room, affiliation="member")] == ["Paris"]
    nurse, = await pair(stage, "nurse")
    # §7.2.8, §7.6.
    assert await refused(nurse, room, "Paris") == "conflict"
    juliet.send(f"<presence to='{room}/Paris'/>")
    assert condition(await juliet.inbox.presence(f"{room}/Paris", "error")) == "conflict"


@scenario(servers=ONLY_HERE)
async def a_list_with_one_change_too_many_changes_nothing(stage: Stage):
    room, owner, juliet, nurse = await inside(stage, "owner", "juliet", "nurse")
    await change(owner, room, jid=juliet.account.jid, affiliation="admin")
    refused_with = await juliet.iq_error("set", f"<query xmlns='{MUC}#admin'><item jid='{nurse.account.jid}' affiliation='member'/>"
                                         f"<item jid='{owner.account.jid}' affiliation='none'/></query>", room)
    assert refused_with in ("not-allowed", "forbidden"), refused_with
    assert await listed(owner, room, affiliation="member") == []
    assert [one.get("jid") for one in await listed(owner, room, affiliation="owner")] == [owner.account.jid]


@scenario(servers=ONLY_HERE)
async def private_messages_are_for_those_whom_the_room_lets(stage: Stage):
    room, owner, juliet, nurse = await inside(stage, "owner", "juliet", "nurse", allowpm="moderators")
    whisper(juliet, room, "nurse", "psst")
    assert await fails(juliet, room) in ("forbidden", "not-allowed", "not-acceptable", "service-unavailable")
    whisper(owner, room, "nurse", "from a moderator")
    await nurse.inbox.message("from a moderator")
    await together(room, owner, "owner", juliet, nurse)
    nurse.inbox.no_message("psst")


@scenario
async def a_change_of_the_configuration_is_told_to_the_occupants(stage: Stage):
    room, owner, juliet = await inside(stage, "owner", "juliet")
    await configure(owner, room, roomdesc="Now with roses")
    told = await juliet.inbox.expect("status 104", lambda s: of_room(s, room) and 104 in codes(s))
    assert told.get("type") == "groupchat" and told.get("from") == room, ET.tostring(told)
    assert (await info(juliet, room))[2]["muc#roominfo_description"] == "Now with roses"


@scenario(servers=ONLY_HERE)
async def a_configuration_with_a_fault_is_refused_whole(stage: Stage):
    room, owner, juliet = await inside(stage, "owner", "juliet", roomname="as it was")
    assert await juliet.iq_error("get", f"<query xmlns='{MUC}#owner'/>", room) == "forbidden"
    assert await juliet.iq_error("set", submission({"roomname": "hers"}), room) == "forbidden"
    for faulty in ({"whois": "nobody-at-all"}, {"maxusers": "many"}, {"maxusers": "-1"}, {"membersonly": "perhaps"}, {"no_such_field": "1"},
                   {"passwordprotectedroom": True, "roomsecret": ""}, {"allowpm": "cats"}, {"roomname": ["two", "names"]}):
        got = await owner.iq_error("set", submission({"roomname": "changed", **faulty}), room)
        assert got in ("bad-request", "not-acceptable"), (faulty, got)
    assert await owner.iq_error("set", f"<query xmlns='{MUC}#owner'><x xmlns='jabber:x:data' type='form'/></query>", room) == "bad-request"
    assert (await info(juliet, room))[0]["name"] == "as it was"
    await together(room, owner, "owner", juliet)
    assert juliet.inbox.find(lambda s: of_room(s, room) and 104 in codes(s)) is None


@scenario(servers=ONLY_HERE)
async def a_nick_is_registered_with_the_room(stage: Stage):
    room, owner, juliet = await inside(stage, "owner", "juliet")
    query = "jabber:iq:register"
    asked = await juliet.iq("get", f"<query xmlns='{query}'/>", room)
    fields = {field.get("var") for field in asked.iter(FORM + "field")}
    assert "muc#register_roomnick" in fields, fields

    def registration(nick):
        return (f"<query xmlns='{query}'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>{MUC}#register</value></field>"
                f"<field var='muc#register_roomnick'><value>{nick}</value></field></x></query>")

    await juliet.iq("set", registration("Capulet"), room)
    nurse, = await pair(stage, "nurse")
    assert await nurse.iq_error("set", registration("Capulet"), room) == "conflict"
    assert await refused(nurse, room, "Capulet") == "conflict"
    await leave(juliet, room, "juliet")
    assert rank((await enter(juliet, room, "Capulet")).own)[0] == "member"
    known = await juliet.iq("get", f"<query xmlns='{query}'/>", room)
    assert known.find(f".//{{{query}}}registered") is not None
    assert known.findtext(f".//{{{query}}}username") == "Capulet"
    # §7.12.
    mine = await juliet.iq("get", "<query xmlns='http://jabber.org/protocol/disco#info' node='x-roomuser-item'/>", room)
    assert mine.find(".//{http://jabber.org/protocol/disco#info}identity").get("name") == "Capulet"


@scenario
async def a_voiceless_visitor_is_told_so_at_each_thing_he_says(stage: Stage):
    room, owner, juliet = await inside(stage, "owner", "juliet", moderatedroom=True)
    for number in range(3):
        say(juliet, room, f"try {number}", id_=f"t{number}")
        error = await juliet.inbox.expect("an error", lambda s: s.get("type") == "error" and s.get("id") == f"t{number}")
        assert condition(error) == "forbidden" and error.get("from") == room
    await together(room, owner, "owner", juliet)
    assert owner.inbox.find(lambda s: (s.findtext(CLIENT + "body") or "").startswith("try")) is None
