"""XEP-0045: rooms as people use them, from the first join to the last."""

import asyncio
import xml.etree.ElementTree as ET

import aioxmpp
import aioxmpp.muc
import slixmpp

from harness.aio import Aio, until
from harness.inbox import CLIENT
from harness.people import pair
from harness.rooms import (
    MUC, OCCUPANT_ID, USER, change, codes, condition, configure, contents, create, enter, enter_new, fails, forget, form, hears,
    info, instant, item, leave, of_room, rank, refused, say, sees, together, whisper,
)
from harness.scenario import Stage, scenario
from harness.slix import Slix

DELAYED = "{urn:xmpp:delay}delay"


@scenario
async def an_instant_room_is_locked_until_its_owner_opens_it(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    room = stage.room("garden")
    entered = await enter_new(romeo, room, "romeo")
    assert codes(entered) >= {110, 201}, entered
    assert await refused(juliet, room, "juliet") == "item-not-found"
    await instant(romeo, room)
    entered = await enter(juliet, room, "juliet")
    assert rank(entered.own) == ("none", "participant") and 201 not in codes(entered.own)
    assert {nick: rank(one) for nick, one in entered.others.items()} == {"romeo": ("owner", "moderator")}
    assert rank(await sees(romeo, room, "juliet")) == ("none", "participant")


@scenario
async def a_reserved_room_is_as_its_owner_wrote_in_the_form(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    room = await create(stage, romeo, roomname="Capulet's garden", roomdesc="Under the balcony", membersonly=False,
                        moderatedroom=True, persistentroom=True, whois="anyone", publicroom=True, changesubject=True)
    fields = await form(romeo, room)
    assert fields["roomname"].findtext(f"{{jabber:x:data}}value") == "Capulet's garden"
    identity, features, about = await info(juliet, room)
    assert (identity["category"], identity["type"], identity["name"]) == ("conference", "text", "Capulet's garden")
    assert features >= {MUC, "muc_moderated", "muc_open", "muc_persistent", "muc_nonanonymous", "muc_public", "muc_unsecured"}
    assert about["FORM_TYPE"] == MUC + "#roominfo" and about["muc#roominfo_description"] == "Under the balcony"
    assert about["muc#roominfo_occupants"] == "1"
    assert (await contents(juliet, stage.server.rooms))[room] == "Capulet's garden"


@scenario(servers=("tercet",))
async def a_room_whose_first_form_is_cancelled_does_not_come_to_be(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    room = stage.room("garden")
    await enter_new(romeo, room, "romeo")
    assert "roomname" in await form(romeo, room)
    await romeo.iq("set", f"<query xmlns='{MUC}#owner'><x xmlns='jabber:x:data' type='cancel'/></query>", room)
    await sees(romeo, room, "romeo", "unavailable")
    assert 201 in codes(await enter_new(juliet, room, "juliet"))


@scenario
async def the_service_and_its_rooms_are_found(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    assert stage.server.rooms in await contents(juliet, stage.server.domain)
    identity, features, _ = await info(juliet, stage.server.rooms)
    assert (identity["category"], identity["type"]) == ("conference", "text") and MUC in features
    shown = await create(stage, romeo, "shown", publicroom=True)
    hidden = await create(stage, romeo, "hidden", publicroom=False)
    rooms = await contents(juliet, stage.server.rooms)
    assert shown in rooms and hidden not in rooms
    assert "muc_hidden" in (await info(juliet, hidden))[1]
    nobody = stage.room("nowhere")
    query = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
    assert await juliet.iq_error("get", query, nobody) == "item-not-found"


@scenario
async def who_comes_in_gets_presence_then_history_then_the_subject(stage: Stage):
    romeo, juliet, nurse = await pair(stage, "romeo", "juliet", "nurse")
    room = await create(stage, romeo, nick="romeo")
    await enter(juliet, room, "juliet")
    for number in range(3):
        say(romeo, room, f"line {number}")
    romeo.send(f"<message type='groupchat' to='{room}'><subject>The balcony</subject></message>")
    subject = await juliet.inbox.expect("subject", lambda s: of_room(s, room) and s.findtext(CLIENT + "subject") == "The balcony")
    assert subject.get("from") == f"{room}/romeo" and subject.find(CLIENT + "body") is None
    # That the order is right is what `enter` itself is about.
    entered = await enter(nurse, room, "nurse")
    assert set(entered.others) == {"romeo", "juliet"} and 110 in codes(entered.own)
    assert entered.said[:3] == ["line 0", "line 1", "line 2"]
    assert entered.subject.findtext(CLIENT + "subject") == "The balcony"
    assert entered.subject.get("from") == f"{room}/romeo"
    for old in entered.history:
        assert old.find(DELAYED) is not None and old.get("type") == "groupchat", ET.tostring(old)
    assert [old.get("from") for old in entered.history][:3] == [f"{room}/romeo"] * 3


@scenario
async def everybody_hears_the_same_in_the_same_order(stage: Stage):
    people = await pair(stage, "romeo", "juliet", "nurse", "tybalt")
    room = await create(stage, people[0], nick="0")
    for number, person in enumerate(people[1:], 1):
        await enter(person, room, str(number))
    for turn in range(25):
        for number, person in enumerate(people):
            say(person, room, f"{number} says {turn}", id_=f"id-{number}-{turn}")
    heard = []
    for person in people:
        heard.append([])
        while len(heard[-1]) < 100:
            message = await person.inbox.expect("a message", lambda s: s.get("type") == "groupchat" and s.find(CLIENT + "body") is not None)
            number, turn = message.get("id").split("-")[1:]
            assert message.get("from") == f"{room}/{number}", ET.tostring(message)
            assert message.findtext(CLIENT + "body") == f"{number} says {turn}"
            heard[-1].append(message.get("id"))
    assert all(one == heard[0] for one in heard)
    for number in range(4):
        mine = [id_ for id_ in heard[0] if id_.startswith(f"id-{number}-")]
        assert mine == [f"id-{number}-{turn}" for turn in range(25)]


@scenario
async def a_message_is_relayed_with_its_payload_and_id(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    room = await create(stage, romeo, nick="romeo")
    await enter(juliet, room, "juliet")
    say(romeo, room, "<b>&amp;</b> \U0001f339", "<active xmlns='http://jabber.org/protocol/chatstates'/><x xmlns='u:x' a='&lt;'><y/></x>", id_="my-own")
    for client in (romeo, juliet):
        got = await hears(client, room, "romeo", "<b>&amp;</b> \U0001f339")
        assert got.get("id") == "my-own" and got.find("{u:x}x/{u:x}y") is not None and got.find("{u:x}x").get("a") == "<"
        assert got.get("to") == client.jid, ET.tostring(got)


@scenario
async def the_subject_is_changed_by_those_who_may_and_can_be_taken_away(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    room = await create(stage, romeo, nick="romeo", changesubject=False)
    await enter(juliet, room, "juliet")
    juliet.send(f"<message type='groupchat' to='{room}' id='s'><subject>Mine</subject></message>")
    assert await fails(juliet, room) == "forbidden"
    await configure(romeo, room, changesubject=True)
    for text in ("Hers", ""):
        juliet.send(f"<message type='groupchat' to='{room}' id='s'><subject>{text}</subject></message>")
        for client in (romeo, juliet):
            got = await client.inbox.expect("subject", lambda s: s.get("from") == f"{room}/juliet" and s.find(CLIENT + "subject") is not None)
            assert (got.findtext(CLIENT + "subject") or "") == text, ET.tostring(got)
    # A subject beside a body is no change of subject (§8.1).
    say(romeo, room, "a mail", "<subject>Re: mail</subject>")
    await hears(juliet, room, "romeo", "a mail")
    entered = await enter(juliet, room, "juliet")
    assert not entered.subject.findtext(CLIENT + "subject")


@scenario
async def a_nick_is_changed_in_sight_of_all_and_never_taken_from_another(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    room = await create(stage, romeo, nick="romeo")
    await enter(juliet, room, "juliet")
    juliet.send(f"<presence to='{room}/romeo' id='n1'/>")
    taken = await juliet.inbox.presence(f"{room}/romeo", "error")
    assert condition(taken) == "conflict", ET.tostring(taken)
    juliet.send(f"<presence to='{room}/Julia' id='n2'/>")
    for client in (romeo, juliet):
        gone = await sees(client, room, "juliet", "unavailable")
        assert 303 in codes(gone) and item(gone).get("nick") == "Julia", ET.tostring(gone)
        come = await sees(client, room, "Julia")
        assert (110 in codes(come)) == (110 in codes(gone)) == (client is juliet), ET.tostring(come)
    assert await refused(await Slix(stage, await stage.account("nurse")).login(), room, "Julia") == "conflict"
    say(juliet, room, "by another name")
    await hears(romeo, room, "Julia", "by another name")


@scenario
async def presence_in_a_room_is_seen_by_all(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    room = await create(stage, romeo, nick="romeo")
    await enter(juliet, room, "juliet")
    await sees(romeo, room, "juliet")
    juliet.send(f"<presence to='{room}/juliet'><show>away</show><status>asleep</status></presence>")
    for client in (romeo, juliet):
        away = await sees(client, room, "juliet")
        assert away.findtext(CLIENT + "show") == "away" and away.findtext(CLIENT + "status") == "asleep"
        assert rank(away) == ("none", "participant")
    entered = await enter(await Slix(stage, await stage.account("nurse")).login(), room, "nurse")
    assert entered.others["juliet"].findtext(CLIENT + "show") == "away"


@scenario
async def one_who_leaves_is_seen_to_leave_and_hears_no_more(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    room = await create(stage, romeo, nick="romeo")
    await enter(juliet, room, "juliet")
    juliet.send(f"<presence type='unavailable' to='{room}/juliet'><status>good night</status></presence>")
    gone = await sees(romeo, room, "juliet", "unavailable")
    assert item(gone).get("role") == "none" and gone.findtext(CLIENT + "status") == "good night"
    assert 110 in codes(await sees(juliet, room, "juliet", "unavailable"))
    say(juliet, room, "still here?")
    assert await fails(juliet, room) == "not-acceptable"
    await together(room, romeo, "romeo")
    await juliet.settle()
    assert juliet.inbox.find(lambda s: of_room(s, room)) is None, juliet.seen()


@scenario
async def several_sessions_of_one_person_share_a_nick(stage: Stage):
    romeo, desk = await pair(stage, "romeo", "juliet")
    phone = await Slix(stage, desk.account, "phone").login()
    room = await create(stage, romeo, nick="romeo")
    await enter(desk, room, "juliet")
    await sees(romeo, room, "juliet")
    entered = await enter(phone, room, "juliet")
    assert 110 in codes(entered.own) and "romeo" in entered.others
    forget(room, romeo)
    say(romeo, room, "to both")
    for client in (desk, phone):
        await hears(client, room, "romeo", "to both")
    say(phone, room, "from the phone")
    for client in (romeo, desk, phone):
        await hears(client, room, "juliet", "from the phone")
    # One goes, the person stays.
    await leave(phone, room, "juliet")
    await together(room, desk, "juliet", romeo)
    romeo.inbox.no_presence(f"{room}/juliet", "unavailable")
    await leave(desk, room, "juliet")
    await sees(romeo, room, "juliet", "unavailable")


@scenario
async def another_person_never_shares_a_nick(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    room = await create(stage, romeo, nick="Romeo")
    assert await refused(juliet, room, "Romeo") == "conflict"
    # What looks the same is the same: RFC 8265 maps full-width and composed forms in a nick.
    entered = await enter(juliet, room, "Rómeo")
    assert 110 in codes(entered.own)


@scenario
async def private_messages_reach_one_occupant_and_nobody_else(stage: Stage):
    romeo, juliet, nurse = await pair(stage, "romeo", "juliet", "nurse")
    room = await create(stage, romeo, nick="romeo")
    await enter(juliet, room, "juliet"), await enter(nurse, room, "nurse")
    whisper(romeo, room, "juliet", "for you alone")
    got = await juliet.inbox.message("for you alone", type="chat", from_=f"{room}/romeo")
    assert got.find(f"{USER}x") is not None, ET.tostring(got)
    await together(room, romeo, "romeo", juliet, nurse)
    nurse.inbox.no_message("for you alone")
    whisper(romeo, room, "tybalt", "is anybody there?")
    assert await fails(romeo, room) == "item-not-found"
    tybalt, = await pair(stage, "tybalt")
    whisper(tybalt, room, "juliet", "from outside")
    assert await fails(tybalt, room) == "not-acceptable"


@scenario
async def requests_pass_between_occupants(stage: Stage):
    romeo, juliet, nurse = await pair(stage, "romeo", "juliet", "nurse")
    room = await create(stage, romeo, nick="romeo")
    await enter(juliet, room, "juliet")
    await romeo.fence(f"{room}/juliet")
    assert await nurse.iq_error("get", "<ping xmlns='urn:xmpp:ping'/>", f"{room}/juliet") in ("not-acceptable", "bad-request")
    assert await romeo.iq_error("get", "<ping xmlns='urn:xmpp:ping'/>", f"{room}/nobody") == "item-not-found"


@scenario
async def a_ping_of_oneself_tells_whether_one_is_in(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    room = await create(stage, romeo, nick="romeo")
    ping = "<ping xmlns='urn:xmpp:ping'/>"
    # XEP-0410 §3.
    assert await juliet.iq_error("get", ping, f"{room}/juliet") == "not-acceptable"
    await enter(juliet, room, "juliet")
    assert (await juliet.iq("get", ping, f"{room}/juliet")).get("type") == "result"
    assert "http://jabber.org/protocol/muc#self-ping-optimization" in (await info(juliet, room))[1]
    await leave(juliet, room, "juliet")
    assert await juliet.iq_error("get", ping, f"{room}/juliet") == "not-acceptable"


@scenario
async def an_occupant_is_known_again_by_an_id_that_nobody_can_forge(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    room = await create(stage, romeo, nick="romeo")
    assert "urn:xmpp:occupant-id:0" in (await info(juliet, room))[1]
    false = "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='false'/>"
    entered = await enter(juliet, room, "juliet", extra=false)

    def id_of(stanza):
        found = stanza.findall(OCCUPANT_ID)
        assert len(found) == 1 and found[0].get("id") != "false", ET.tostring(stanza)
        return found[0].get("id")

    hers, his = id_of(entered.own), id_of(entered.others["romeo"])
    assert hers != his
    say(juliet, room, "hello", false)
    assert id_of(await hears(romeo, room, "juliet", "hello")) == hers
    juliet.send(f"<presence to='{room}/Julia'/>")
    assert id_of(await sees(romeo, room, "Julia")) == hers
    await leave(juliet, room, "Julia")
    again = await enter(juliet, room, "again")
    assert id_of(again.own) == hers
    # In another room she is somebody else.
    other = await create(stage, romeo, "other", nick="romeo")
    assert id_of((await enter(juliet, other, "juliet")).own) != hers


@scenario
async def a_destroyed_room_tells_everybody_where_to_go(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    room, elsewhere = await create(stage, romeo, nick="romeo", persistentroom=True), stage.room("tomb")
    await enter(juliet, room, "juliet")
    destroy = f"<query xmlns='{MUC}#owner'><destroy jid='{elsewhere}'><reason>Found out</reason></destroy></query>"
    assert await juliet.iq_error("set", destroy, room) == "forbidden"
    await romeo.iq("set", destroy, room)
    for client, nick in ((romeo, "romeo"), (juliet, "juliet")):
        gone = await sees(client, room, nick, "unavailable")
        end = gone.find(f"{USER}x/{USER}destroy")
        assert end.get("jid") == elsewhere and end.findtext(f"{USER}reason") == "Found out", ET.tostring(gone)
        assert item(gone).get("role") == "none"
    assert room not in await contents(juliet, stage.server.rooms)
    say(romeo, room, "anybody?")
    assert await fails(romeo, room) in ("gone", "item-not-found", "not-acceptable")


@scenario
async def an_invitation_through_the_room_can_be_declined(stage: Stage):
    romeo, juliet, tybalt = await pair(stage, "romeo", "juliet", "tybalt")
    room = await create(stage, romeo, nick="romeo", membersonly=True)
    romeo.send(f"<message to='{room}'><x xmlns='{MUC}#user'><invite to='{juliet.account.jid}'><reason>Come</reason></invite></x></message>")
    invitation = await juliet.inbox.expect("invitation", lambda s: s.find(f"{USER}x/{USER}invite") is not None)
    invite = invitation.find(f"{USER}x/{USER}invite")
    assert invitation.get("from") == room and invite.findtext(f"{USER}reason") == "Come", ET.tostring(invitation)
    assert invite.get("from").split("/")[0] in (romeo.account.jid, room), ET.tostring(invitation)
    juliet.send(f"<message to='{room}'><x xmlns='{MUC}#user'><decline to='{romeo.account.jid}'><reason>No</reason></decline></x></message>")
    declined = await romeo.inbox.expect("decline", lambda s: s.find(f"{USER}x/{USER}decline") is not None)
    assert declined.find(f"{USER}x/{USER}decline").get("from").split("/")[0] == juliet.account.jid
    # In a members-only room the invitation makes a member (§7.8.2).
    assert rank((await enter(juliet, room, "juliet")).own)[0] == "member"
    assert await refused(tybalt, room, "tybalt") == "registration-required"
    # Nobody outside invites.
    tybalt.send(f"<message to='{room}' id='i'><x xmlns='{MUC}#user'><invite to='{romeo.account.jid}'/></x></message>")
    assert await fails(tybalt, room) in ("not-acceptable", "forbidden")


@scenario(servers=("tercet",))
async def a_new_member_is_invited_and_who_declines_is_heard_outside_the_room(stage: Stage):
    romeo, juliet, tybalt = await pair(stage, "romeo", "juliet", "tybalt")
    room = await create(stage, romeo, nick="romeo", membersonly=True, persistentroom=True)
    await romeo.iq("set", f"<query xmlns='{MUC}#admin'><item affiliation='member' jid='{juliet.account.jid}'/></query>", room)
    invitation = await juliet.inbox.expect("invitation", lambda s: s.find(f"{USER}x/{USER}invite") is not None)
    inviter = invitation.find(f"{USER}x/{USER}invite").get("from")
    assert inviter == f"{room}/romeo", ET.tostring(invitation)
    romeo.send(f"<presence to='{room}/romeo' type='unavailable'/>")
    await sees(romeo, room, "romeo", "unavailable")
    tybalt.send(f"<message to='{room}' id='t'><x xmlns='{MUC}#user'><decline to='{inviter}'/></x></message>")
    assert await fails(tybalt, room) == "item-not-found"
    juliet.send(f"<message to='{room}'><x xmlns='{MUC}#user'><decline to='{inviter}'><reason>No</reason></decline></x></message>")
    declined = await romeo.inbox.expect("decline", lambda s: s.find(f"{USER}x/{USER}decline") is not None)
    decline = declined.find(f"{USER}x/{USER}decline")
    assert decline.get("from") == juliet.account.jid and decline.findtext(f"{USER}reason") == "No", ET.tostring(declined)


@scenario(servers=("tercet",))
async def a_nick_is_one_persons_in_any_case(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    room = await create(stage, romeo, nick="The Bard")
    assert await refused(juliet, room, "the bard") == "conflict"
    await enter(juliet, room, "juliet")


@scenario(servers=("tercet",))
async def the_avatar_of_a_room_is_told_in_presence(stage: Stage):
    update = "{vcard-temp:x:update}"
    hashed = lambda text: lambda s: s.find(f"{update}x/{update}photo") is not None and s.findtext(f"{update}x/{update}photo") == text
    romeo, juliet, tybalt = await pair(stage, "romeo", "juliet", "tybalt")
    room = await create(stage, romeo, nick="romeo")
    await enter(juliet, room, "juliet")
    await romeo.iq("set", "<vCard xmlns='vcard-temp'><PHOTO><TYPE>image/png</TYPE><BINVAL>aGVsbG8=</BINVAL></PHOTO></vCard>", room)
    told = await juliet.inbox.expect("the new avatar", hashed("aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"))
    assert told.get("from") == room
    of_room = (await enter(tybalt, room, "tybalt")).others[""]
    assert hashed("aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d")(of_room), ET.tostring(of_room)
    await romeo.iq("set", "<vCard xmlns='vcard-temp'/>", room)
    await juliet.inbox.expect("that there is none any more", hashed(""))


@scenario
async def an_invitation_to_a_room_with_a_password_carries_it(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    room = await create(stage, romeo, nick="romeo", passwordprotectedroom=True, roomsecret="nightingale")
    romeo.send(f"<message to='{room}'><x xmlns='{MUC}#user'><invite to='{juliet.account.jid}'/></x></message>")
    invitation = await juliet.inbox.expect("invitation", lambda s: s.find(f"{USER}x/{USER}invite") is not None)
    password = invitation.findtext(f"{USER}x/{USER}password")
    assert password == "nightingale", ET.tostring(invitation)
    await enter(juliet, room, "juliet", password=password)


@scenario
async def a_direct_invitation_goes_from_person_to_person(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    room = await create(stage, romeo, nick="romeo")
    romeo.send(f"<message to='{juliet.account.jid}'><x xmlns='jabber:x:conference' jid='{room}' reason='Come'/></message>")
    invitation = await juliet.inbox.expect("invitation", lambda s: s.find("{jabber:x:conference}x") is not None)
    assert invitation.get("from") == romeo.jid
    await enter(juliet, invitation.find("{jabber:x:conference}x").get("jid"), "juliet")


@scenario
async def the_occupants_of_an_anonymous_room_are_known_to_moderators_only(stage: Stage):
    romeo, juliet, nurse = await pair(stage, "romeo", "juliet", "nurse")
    room = await create(stage, romeo, nick="romeo", whois="moderators")
    entered = await enter(juliet, room, "juliet")
    assert item(entered.others["romeo"]).get("jid") is None and 100 not in codes(entered.own)
    assert item(await sees(romeo, room, "juliet")).get("jid") == juliet.jid
    await enter(nurse, room, "nurse")
    assert item(await sees(juliet, room, "nurse")).get("jid") is None
    await configure(romeo, room, whois="anyone")
    told = await juliet.inbox.expect("status 172", lambda s: of_room(s, room) and 172 in codes(s))
    assert told.get("type") == "groupchat" and told.get("from") == room, ET.tostring(told)
    await leave(nurse, room, "nurse")
    entered = await enter(nurse, room, "nurse")
    assert 100 in codes(entered.own) and item(entered.others["juliet"]).get("jid") == juliet.jid


@scenario
async def a_connection_cut_without_a_word_leaves_no_ghost(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    room = await create(stage, romeo, nick="romeo")
    await enter(juliet, room, "juliet")
    await sees(romeo, room, "juliet")
    juliet.cut()
    gone = await sees(romeo, room, "juliet", "unavailable")
    assert item(gone).get("role") == "none"
    entered = await enter(await Slix(stage, await stage.account("nurse")).login(), room, "juliet")
    assert set(entered.others) == {"romeo"}


@scenario
async def who_goes_offline_leaves_all_rooms(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    rooms = [await create(stage, romeo, name, nick="romeo") for name in ("garden", "hall")]
    for room in rooms:
        await enter(juliet, room, "juliet")
        await sees(romeo, room, "juliet")
    juliet.send("<presence type='unavailable'><status>bye</status></presence>")
    for room in rooms:
        await sees(romeo, room, "juliet", "unavailable")


@scenario(servers=("prosody",))
async def an_occupant_whose_delivery_fails_is_taken_out(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    room = await create(stage, romeo, nick="romeo")
    await enter(juliet, room, "juliet")
    await sees(romeo, room, "juliet")
    say(romeo, room, "are you there?", id_="m1")
    await hears(juliet, room, "romeo", "are you there?")
    # As the server of somebody who is gone answers (§18.2). Ours knows its own sessions itself, and believes only other servers.
    juliet.send(f"<message type='error' to='{room}/romeo' id='m1'><error type='cancel'>"
                "<remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>")
    gone = await sees(romeo, room, "juliet", "unavailable")
    assert item(gone).get("role") == "none" and codes(gone) & {307, 333}, ET.tostring(gone)


@scenario
async def a_temporary_room_goes_with_its_last_occupant_and_a_persistent_one_stays(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    kept = await create(stage, romeo, "kept", nick="romeo", persistentroom=True)
    lost = await create(stage, romeo, "lost", nick="romeo", persistentroom=False)
    await leave(romeo, kept, "romeo"), await leave(romeo, lost, "romeo")
    assert 201 in codes(await enter_new(juliet, lost, "juliet"))
    entered = await enter(juliet, kept, "juliet")
    assert 201 not in codes(entered.own) and rank(entered.own) == ("none", "participant")


@scenario
async def slixmpp_finds_its_way_in_a_room(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    for one in (romeo, juliet):
        one.xmpp.register_plugin("xep_0045")
    room = slixmpp.JID(await create(stage, romeo, nick="romeo"))
    mine, hers = romeo.xmpp["xep_0045"], juliet.xmpp["xep_0045"]
    await mine.join_muc_wait(room, "romeo", timeout=10)
    config = await mine.get_room_config(room)
    config["values"] = {"muc#roomconfig_roomname": "Configured by slixmpp"}
    await mine.set_room_config(room, config)
    await hers.join_muc_wait(room, "juliet", timeout=10)
    assert set(hers.get_roster(room)) == {"romeo", "juliet"}
    assert (await info(juliet, str(room)))[0]["name"] == "Configured by slixmpp"
    mine.set_subject(room, "slixmpp's")
    await juliet.inbox.expect("subject", lambda s: s.findtext(CLIENT + "subject") == "slixmpp's")
    juliet.message(room, "hello from slixmpp", "groupchat")
    await hears(romeo, room, "juliet", "hello from slixmpp")
    await sees(romeo, room, "juliet")
    await mine.set_role(room, "juliet", "visitor")
    assert mine.get_jid_property(room, "romeo", "role") == "moderator"
    await until("role", lambda: hers.get_jid_property(room, "juliet", "role") == "visitor")
    hers.leave_muc(room, "juliet", "bye")
    await sees(romeo, room, "juliet", "unavailable")
    await until("roster", lambda: mine.get_roster(room) == ["romeo"])
    await mine.destroy(room, "over")


@scenario
async def aioxmpp_and_slixmpp_talk_in_a_room(stage: Stage):
    romeo, = await pair(stage, "romeo")
    juliet = await Aio(stage, await stage.account("juliet"), "phone", services=(aioxmpp.MUCClient,)).login()
    room = await create(stage, romeo, nick="romeo")
    joined, entering = juliet[aioxmpp.MUCClient].join(aioxmpp.JID.fromstr(room), "juliet")
    heard, topics, nicks, left = [], [], [], []
    joined.on_message.connect(lambda message, member, source, **_: heard.append((member and member.nick, message.body.any())) and None)
    joined.on_topic_changed.connect(lambda member, topic, **_: topics.append(topic.any() if topic else None) and None)
    joined.on_nick_changed.connect(lambda member, old, new, **_: nicks.append((old, new)) and None)
    joined.on_leave.connect(lambda member, **_: left.append(member.nick) and None)
    await asyncio.wait_for(entering, 10)
    await sees(romeo, room, "juliet")
    assert {member.nick for member in joined.members} == {"romeo", "juliet"}
    say(romeo, room, "hello aioxmpp")
    await until("message", lambda: ("romeo", "hello aioxmpp") in heard)
    message = aioxmpp.Message(type_=aioxmpp.MessageType.GROUPCHAT)
    message.body[None] = "hello slixmpp"
    await asyncio.wait_for(joined.send_message_tracked(message)[0], 10)
    await hears(romeo, room, "juliet", "hello slixmpp")
    await change(romeo, room, nick="juliet", role="moderator")
    await joined.set_topic({None: "aioxmpp's"})
    await romeo.inbox.expect("subject", lambda s: s.findtext(CLIENT + "subject") == "aioxmpp's")
    await until("topic", lambda: "aioxmpp's" in topics)
    await joined.set_nick("Julia")
    await until("nick", lambda: ("juliet", "Julia") in nicks)
    await leave(romeo, room, "romeo")
    await until("leaving", lambda: left == ["romeo"])
    await asyncio.wait_for(joined.leave(), 10)
