"""What people of two servers do together, and what our side lets happen: ours and Debian's Prosody."""

import asyncio
import hashlib
import json
import signal
import xml.etree.ElementTree as ET

from harness.people import befriend
from harness.rooms import ask, change, codes, enter_new, instant, rank, sees
from harness.scenario import Account, Stage, scenario
from harness.slix import Slix

from .federation import PEER, people, two_servers
from .operations import ONLY_HERE, tercet

STANZAS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"


def is_error(condition: str):
    """Whether a stanza is an error of that condition."""
    return lambda s: s.get("type") == "error" and s.find(f".//{STANZAS}{condition}") is not None


async def configure(here: Stage, text: str) -> None:
    """Adds to the configuration of the running server."""
    server = here.server
    with open(server.config, "a", encoding="utf-8") as config:
        config.write(text)
    before = server.log_file.read_text().count("reloaded:")
    server.process.send_signal(signal.SIGHUP)
    for _ in range(100):
        if server.log_file.read_text().count("reloaded:") > before:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the configuration was not read again")


async def room_here(here: Stage, owner: Slix) -> str:
    """A room on our side with its owner in it."""
    room = f"garden@rooms.{here.server.domain}"
    await enter_new(owner, room, "romeo")
    await instant(owner, room)
    return room


@scenario(servers=ONLY_HERE)
async def contacts_of_a_server_that_was_killed_are_unavailable_until_it_is_back(stage: Stage):
    async with two_servers(stage, secure=False) as (here, there):
        romeo, juliet = await people(here, there)
        await befriend(romeo, juliet)
        there.server.kill()
        romeo.message(juliet.jid, "are you there?")
        await romeo.inbox.expect("an error", lambda s: s.get("type") == "error")
        await romeo.inbox.presence(juliet.account.jid, "unavailable")
        await asyncio.to_thread(there.server.start)
        back = await Slix(there, juliet.account, "back").login()
        # Each sees the other without having asked.
        await romeo.inbox.presence(back.jid)
        await back.inbox.presence(romeo.jid)


@scenario(servers=ONLY_HERE)
async def who_is_no_contact_any_more_sees_nothing_of_the_other(stage: Stage):
    async with two_servers(stage, secure=False) as (here, there):
        romeo, juliet = await people(here, there)
        await befriend(romeo, juliet)
        await romeo.iq("set", f"<query xmlns='jabber:iq:roster'><item jid='{juliet.account.jid}' subscription='remove'/></query>")
        await juliet.inbox.presence(romeo.jid, "unavailable")
        await juliet.inbox.roster_push(romeo.account.jid, subscription="none")
        juliet.send("<presence><status>alone</status></presence>")
        romeo.send("<presence><status>free</status></presence>")
        await juliet.fence(romeo.jid)
        await romeo.fence(juliet.jid)
        romeo.inbox.no_presence(juliet.jid)
        juliet.inbox.no_presence(romeo.jid)


@scenario(servers=ONLY_HERE)
async def somebody_of_another_server_is_in_a_room_here(stage: Stage):
    async with two_servers(stage, secure=False) as (here, there):
        romeo, juliet = await people(here, there)
        room = await room_here(here, romeo)
        romeo.message(room, "before you came", "groupchat")
        await romeo.inbox.message("before you came")
        ask(juliet, room, "juliet")
        await juliet.inbox.presence(f"{room}/juliet")
        await juliet.inbox.message("before you came", from_=f"{room}/romeo")
        await romeo.inbox.presence(f"{room}/juliet")
        for turn in range(20):
            romeo.message(room, f"to all {turn}", "groupchat")
        for turn in range(20):
            first = await juliet.inbox.expect("any message", lambda s: s.find("{jabber:client}body") is not None)
            assert first.findtext("{jabber:client}body") == f"to all {turn}", "the order is kept"
        juliet.message(room, "to all", "groupchat")
        await romeo.inbox.message("to all", from_=f"{room}/juliet")
        juliet.message(f"{room}/romeo", "to you alone")
        await romeo.inbox.message("to you alone", from_=f"{room}/juliet")
        romeo.message(f"{room}/juliet", "and to you")
        await juliet.inbox.message("and to you", from_=f"{room}/romeo")
        page = await juliet.iq("set", "<query xmlns='urn:xmpp:mam:2'/>", room)
        assert page.find(".//{urn:xmpp:mam:2}fin") is not None or page.tag.endswith("fin")
        await change(romeo, room, nick="juliet", role="none", reason="noise")
        gone = await sees(juliet, room, "juliet", "unavailable")
        assert codes(gone) == {110, 307}, ET.tostring(gone)
        await change(romeo, room, jid=juliet.account.jid, affiliation="outcast")
        ask(juliet, room, "juliet")
        await juliet.inbox.expect("forbidden", is_error("forbidden"))


@scenario(servers=ONLY_HERE)
async def an_occupant_whose_server_was_killed_leaves_the_room(stage: Stage):
    async with two_servers(stage, secure=False) as (here, there):
        romeo, juliet = await people(here, there)
        room = await room_here(here, romeo)
        ask(juliet, room, "juliet")
        await romeo.inbox.presence(f"{room}/juliet")
        there.server.kill()
        romeo.message(room, "anybody?", "groupchat")
        gone = await romeo.inbox.presence(f"{room}/juliet", "unavailable")
        # XEP-0045 §11.1: a technical reason is no kick.
        assert codes(gone) == {333}, ET.tostring(gone)


@scenario(servers=ONLY_HERE)
async def who_is_in_a_room_of_a_server_that_ends_is_told_so_on_either_server(stage: Stage):
    async with two_servers(stage, secure=False) as (here, there):
        romeo, juliet = await people(here, there)
        room = await room_here(here, romeo)
        ask(juliet, room, "juliet")
        await juliet.inbox.presence(f"{room}/juliet")
        await asyncio.to_thread(here.server.stop)
        for client, nick in ((romeo, "romeo"), (juliet, "juliet")):
            # §11.2.
            gone = await sees(client, room, nick, "unavailable")
            assert codes(gone) == {110, 332} and rank(gone)[1] == "none", ET.tostring(gone)


@scenario(servers=ONLY_HERE)
async def whoever_comes_onto_a_block_list_is_refused_at_once_and_heard_again_when_off_it(stage: Stage):
    async with two_servers(stage, secure=False) as (here, there):
        romeo, juliet = await people(here, there)
        await there.server.add_user(f"keeper@{PEER}", "secret", False)
        keeper = await Slix(there, Account(f"keeper@{PEER}", "secret"), "desk").login()
        service, node = f"lists.{PEER}", "muc_bans_sha256"

        async def publish(content: str) -> None:
            await keeper.iq("set", f"<pubsub xmlns='http://jabber.org/protocol/pubsub'>{content}</pubsub>", service)

        async def put(item: str) -> None:
            report = "<report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'/>"
            await publish(f"<publish node='{node}'><item id='{item}'>{report}</item></publish>")

        async def entries(number: int) -> dict:
            for _ in range(200):
                status, printed = await tercet(here.server, "--json", "block-list", "list")
                assert status == 0, printed
                found = [one for one in json.loads(printed)["lists"] if one["host"] == here.server.domain]
                if found and found[0]["updated"] and found[0]["entries"] == number:
                    return found[0]
                await asyncio.sleep(0.1)
            raise AssertionError(f"no {number} entries: {printed}")

        await publish(f"<create node='{node}'/>")
        await put("spam.example")
        await configure(here, f"\n[modules.block_lists]\nlists = [\"{service}/{node}\"]\n")
        assert (await entries(1))["error"] is None
        room = await room_here(here, romeo)
        ask(juliet, room, "juliet")
        await romeo.inbox.presence(f"{room}/juliet")
        digest = hashlib.sha256(juliet.account.jid.encode()).hexdigest()
        await put(digest)
        gone = await juliet.inbox.presence(f"{room}/juliet", "unavailable")
        assert 307 in codes(gone), ET.tostring(gone)
        await romeo.inbox.presence(f"{room}/juliet", "unavailable")
        ask(juliet, room, "juliet")
        await juliet.inbox.expect("forbidden", is_error("forbidden"))
        juliet.message(romeo.account.jid, "cheap pills")
        await juliet.inbox.expect("policy-violation", is_error("policy-violation"))
        juliet.send(f"<presence to='{romeo.account.jid}' type='subscribe'/>")
        await juliet.inbox.expect("policy-violation", is_error("policy-violation"))
        await romeo.settle()
        romeo.inbox.no_message("cheap pills")
        status, printed = await tercet(here.server, "block-list", "check", juliet.account.jid)
        assert status == 0 and f"{service}/{node}" in printed and "spam" in printed, printed
        assert "refused: the sender is on a block list" in here.server.log_file.read_text()
        status, printed = await tercet(here.server, "metrics")
        assert "tercet_block_list_entries{" in printed, printed
        await publish(f"<retract node='{node}' notify='true'><item id='{digest}'/></retract>")
        await entries(1)
        juliet.message(romeo.account.jid, "sorry")
        await romeo.inbox.message("sorry")
        ask(juliet, room, "juliet")
        await romeo.inbox.presence(f"{room}/juliet")
        # What is published while this server is away is known when it is back, and before that what it knew.
        await asyncio.to_thread(here.server.stop)
        await put(digest)
        status, printed = await tercet(here.server, "block-list", "check", "spam.example")
        assert status == 0 and f"{service}/{node}" in printed, printed
        await asyncio.to_thread(here.server.start)
        await entries(2)


@scenario(servers=ONLY_HERE)
async def a_domain_that_is_denied_is_refused_and_people_are_told(stage: Stage):
    async with two_servers(stage, secure=False) as (here, there):
        romeo, juliet = await people(here, there)
        await romeo.fence(juliet.jid)
        await configure(here, f"\n[peers]\ndeny = [\"*.{PEER}\", \"{PEER}\"]\n")
        romeo.message(juliet.jid, "are we still friends?")
        error = await romeo.inbox.expect("not-allowed", is_error("not-allowed"))
        assert PEER in error.findtext(f".//{STANZAS}text")
        # Prosody's stream goes on, what comes on it does not count; a new one is refused.
        await asyncio.to_thread(there.server.stop)
        await asyncio.to_thread(there.server.start)
        back = await Slix(there, juliet.account, "back").login()
        back.message(romeo.account.jid, "are we?")
        await back.inbox.expect("an error", lambda s: s.get("type") == "error")
        await romeo.settle()
        romeo.inbox.no_message("are we?")


@scenario(servers=ONLY_HERE)
async def strangers_are_refused_where_that_is_wanted_and_contacts_are_not(stage: Stage):
    async with two_servers(stage, secure=False) as (here, there):
        romeo, juliet = await people(here, there)
        await configure(here, "\n[modules.strangers]\npolicy = \"refuse\"\n")
        juliet.message(romeo.account.jid, "buy this")
        await juliet.inbox.expect("policy-violation", is_error("policy-violation"))
        romeo.message(juliet.jid, "who are you?")
        await juliet.inbox.message("who are you?")
        juliet.message(romeo.account.jid, "Juliet")
        await romeo.inbox.message("Juliet")


@scenario(servers=ONLY_HERE)
async def a_conversation_across_servers_is_archived_copied_and_ends_with_a_block(stage: Stage):
    async with two_servers(stage, secure=False) as (here, there):
        romeo, juliet = await people(here, there)
        await befriend(romeo, juliet)
        phone = await Slix(here, romeo.account, "phone").login()
        await phone.iq("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
        romeo.message(juliet.jid, "from the desk")
        await juliet.inbox.message("from the desk")
        juliet.message(romeo.jid, "to the desk")
        await romeo.inbox.message("to the desk")
        for text in ("from the desk", "to the desk"):
            await phone.inbox.expect(f"a copy of {text}", lambda s, text=text: any(
                body.text == text for body in s.iter("{jabber:client}body")))
        await phone.iq("set", f"<query xmlns='urn:xmpp:mam:2' queryid='all'><x xmlns='jabber:x:data' type='submit'>"
                       f"<field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field>"
                       f"<field var='with'><value>{juliet.account.jid}</value></field></x></query>")
        results = phone.inbox.taken(lambda s: s.find("{urn:xmpp:mam:2}result") is not None)
        texts = [body.text for result in results for body in result.iter("{jabber:client}body")]
        assert texts == ["from the desk", "to the desk"], texts
        await romeo.iq("set", f"<block xmlns='urn:xmpp:blocking'><item jid='{PEER}'/></block>")
        await juliet.inbox.presence(romeo.jid, "unavailable")
        juliet.message(romeo.account.jid, "why?")
        await juliet.inbox.expect("service-unavailable", is_error("service-unavailable"))
        await romeo.settle()
        romeo.inbox.no_message("why?")
        await romeo.iq("set", f"<unblock xmlns='urn:xmpp:blocking'><item jid='{PEER}'/></unblock>")
        await juliet.inbox.presence(romeo.jid)
