"""Servers of two makers: what people of both do together, with Debian's Prosody and ejabberd, by certificate and by dialback."""

import asyncio
import io
import os
import pathlib
import signal
import socket
import ssl
import time
import urllib.request

from slixmpp.exceptions import IqError

from harness.peers import PEERS, two_servers
from harness.people import befriend, full_name, subscribe
from harness.rooms import ask, enter_new, instant
from harness.scenario import Account, Stage, scenario
from harness.slix import Slix

from .federation_attacks import made
from .operations import ONLY_HERE, tercet

ERRORS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"
FEATURE = "{http://jabber.org/protocol/disco#info}feature"


def with_each(body):
    """A scenario for each of the peers; its body is given the name of the peer beside the stage."""
    for maker in PEERS:
        async def one(stage: Stage, maker=maker):
            await body(stage, maker)
        one.__name__, one.__module__ = f"{body.__name__}_with_{maker}", body.__module__
        scenario(one, servers=ONLY_HERE, limit=120)
    return body


async def people(here: Stage, there: Stage) -> tuple[Slix, Slix]:
    """Romeo here, Juliet there, both available."""
    romeo = await Slix(here, await here.account("romeo"), "desk").login()
    juliet = await Slix(there, await there.account("juliet"), "balcony").login()
    return romeo, juliet


async def talk(romeo: Slix, juliet: Slix, turns: int = 30) -> None:
    """Messages both ways, in their order, and a request each way."""
    for turn in range(turns):
        romeo.message(juliet.jid, f"from here {turn}")
        juliet.message(romeo.jid, f"from there {turn}")
    for turn in range(turns):
        for client, sender, way in ((juliet, romeo, "here"), (romeo, juliet, "there")):
            first = await client.inbox.expect(f"a message, {turn} from {way}", lambda s: s.tag == "{jabber:client}message")
            assert first.get("type") != "error", f"from {way}: {first.findtext('.//' + ERRORS + 'text')}"
            assert first.findtext("{jabber:client}body") == f"from {way} {turn}", "the order is kept"
            assert first.get("from") == sender.jid
    await romeo.fence(juliet.jid)
    await juliet.fence(romeo.jid)


def proofs(stage: Stage) -> set[str]:
    """How servers were known, by the log of ours."""
    text = stage.server.log_file.read_text()
    return {proof for proof in ("Certificate", "Dialback") if f"proof={proof}" in text}


@with_each
async def people_talk_and_see_each_other_by_dialback(stage: Stage, maker: str):
    async with two_servers(stage, maker, secure=False) as (here, there):
        romeo, juliet = await people(here, there)
        await talk(romeo, juliet)
        await befriend(romeo, juliet)
        juliet.send("<presence><show>away</show><status>on the balcony</status></presence>")
        await romeo.inbox.presence(juliet.jid, status="on the balcony")
        romeo.send("<presence><status>in the garden</status></presence>")
        await juliet.inbox.presence(romeo.jid, status="in the garden")
        # Who comes later hears of who is there already.
        later = await Slix(here, romeo.account, "later").login()
        await later.inbox.presence(juliet.jid, status="on the balcony")
        await juliet.inbox.presence(later.jid)
        await later.close()
        await juliet.inbox.presence(later.jid, "unavailable")
        # No longer friends: neither sees the other.
        romeo.presence(juliet.account.jid, "unsubscribed")
        await juliet.inbox.presence(romeo.account.jid, "unsubscribed")
        await juliet.inbox.presence(romeo.jid, "unavailable")
        await juliet.close()
        await romeo.inbox.presence(juliet.jid, "unavailable")
        assert proofs(here) == {"Dialback"}, "nobody has a certificate that counts"


@with_each
async def people_talk_by_certificate(stage: Stage, maker: str):
    async with two_servers(stage, maker, secure=True) as (here, there):
        romeo, juliet = await people(here, there)
        await talk(romeo, juliet)
        await subscribe(romeo, juliet)
        await subscribe(juliet, romeo)
        assert proofs(here) == {"Certificate"}, "certificates are required"


@with_each
async def people_talk_over_direct_tls_that_srv_records_name(stage: Stage, maker: str):
    async with two_servers(stage, maker, secure=True, direct=True) as (here, there):
        romeo, juliet = await people(here, there)
        await talk(romeo, juliet)


@with_each
async def rooms_are_for_people_of_both_servers(stage: Stage, maker: str):
    async with two_servers(stage, maker, secure=True) as (here, there):
        romeo, juliet = await people(here, there)
        for owner, guest, room in ((juliet, romeo, f"garden@{there.server.rooms}"), (romeo, juliet, f"hall@{here.server.rooms}")):
            names = {romeo: "romeo", juliet: "juliet"}
            await enter_new(owner, room, names[owner])
            await instant(owner, room)
            ask(guest, room, names[guest])
            await guest.inbox.presence(f"{room}/{names[owner]}")
            await guest.inbox.presence(f"{room}/{names[guest]}")
            await owner.inbox.presence(f"{room}/{names[guest]}")
            guest.message(room, "to all", "groupchat")
            await owner.inbox.message("to all", from_=f"{room}/{names[guest]}")
            await guest.inbox.message("to all", from_=f"{room}/{names[guest]}")
            owner.message(f"{room}/{names[guest]}", "in private")
            await guest.inbox.message("in private", from_=f"{room}/{names[owner]}")
            owner.message(room, "welcome", "groupchat")
            await guest.inbox.message("welcome", from_=f"{room}/{names[owner]}")
            await guest.fence(f"{room}/{names[owner]}")
            guest.send(f"<presence to='{room}/{names[guest]}' type='unavailable'/>")
            await owner.inbox.presence(f"{room}/{names[guest]}", "unavailable")


@with_each
async def what_people_show_and_share_is_found_from_the_other_server(stage: Stage, maker: str):
    async with two_servers(stage, maker, secure=True) as (here, there):
        romeo, juliet = await people(here, there)
        for one, other, domain in ((romeo, juliet, here.server.domain), (juliet, romeo, there.server.domain)):
            await one.iq("set", f"<vCard xmlns='vcard-temp'><FN>The one of {domain}</FN></vCard>")
            assert await full_name(other, one.account.jid) == f"The one of {domain}"
            for target in (domain, one.server.rooms, one.jid):
                info = await other.iq("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", target)
                assert "http://jabber.org/protocol/disco#info" in {f.get("var") for f in info.iter(FEATURE)}, target
            items = await other.iq("get", "<query xmlns='http://jabber.org/protocol/disco#items'/>", domain)
            assert one.server.rooms in {item.get("jid") for item in items.iter()}, "the domain's services are named"
        for one, other in ((romeo, juliet), (juliet, romeo)):
            one.xmpp.register_plugin("xep_0363")
            content = f"from {one.account.domain}".encode() * 1000
            url = await one.xmpp["xep_0363"].upload_file(
                pathlib.Path("letter.txt"), size=len(content), content_type="text/plain", input_file=io.BytesIO(content))
            one.message(other.jid, url)
            got = (await other.inbox.message(url)).findtext("{jabber:client}body")
            assert await asyncio.to_thread(lambda got=got: urllib.request.urlopen(got, timeout=10).read()) == content


@with_each
async def what_cannot_be_brought_to_the_other_server_comes_back(stage: Stage, maker: str):
    async with two_servers(stage, maker, secure=True) as (here, there):
        romeo, juliet = await people(here, there)
        for one, other, domain in ((romeo, juliet, there.server.domain), (juliet, romeo, here.server.domain)):
            assert await one.iq_error("get", "<query xmlns='jabber:iq:version'/>", f"nobody@{domain}/x") == "service-unavailable"
            assert await one.iq_error("get", "<x xmlns='urn:example:unknown'/>", domain) in ("service-unavailable", "feature-not-implemented")
        romeo.message("x@nowhere.test", "is there anybody?")
        error = await romeo.inbox.expect("an error", lambda s: s.get("type") == "error" and s.get("from") == "x@nowhere.test")
        assert error.find(f".//{ERRORS}remote-server-not-found") is not None
        await talk(romeo, juliet, 3)


@with_each
async def either_server_restarts_and_nothing_is_lost_in_silence(stage: Stage, maker: str):
    async with two_servers(stage, maker, secure=True) as (here, there):
        romeo, juliet = await people(here, there)
        await talk(romeo, juliet, 5)
        await asyncio.to_thread(there.server.stop)
        romeo.message(juliet.jid, "are you there?")
        error = await romeo.inbox.expect("an error", lambda s: s.get("type") == "error", timeout=30)
        assert error.find(f".//{ERRORS}remote-server-timeout") is not None
        await asyncio.to_thread(there.server.start)
        back = await Slix(there, Account(juliet.account.jid, juliet.account.password), "back").login()
        back.message(romeo.jid, "here I am")
        await romeo.inbox.message("here I am", from_=back.jid)
        await talk(romeo, back, 5)
        # Ours in its turn.
        await asyncio.to_thread(here.server.stop)
        await asyncio.to_thread(here.server.start)
        again = await Slix(here, romeo.account, "again").login()
        await talk(again, back, 5)


async def reach(client: Slix, other: str) -> None:
    """As `fence`, but a server that rests between its attempts to connect is asked again."""
    while True:
        try:
            return await client.fence(other)
        except IqError as error:
            assert error.condition in ("remote-server-timeout", "remote-server-not-found"), error
        await asyncio.sleep(0.2)


async def flow_through_a_restart(sender: Slix, receiver: Slix, side: Stage, drops: bool) -> None:
    """Sends messages while the receiver's server, `side`, restarts in the middle: each arrives or comes back. Of servers that
    drop something themselves (`drops`), what they have taken in the last moment may be missing, and nothing before that."""
    await talk(sender, receiver, 5)
    count = 400

    async def flow():
        for number in range(count):
            sender.send(f"<message to='{receiver.account.jid}' type='chat' id='n{number}'><body>{number}</body></message>")
            if number % 20 == 0:
                await sender.settle()

    flowing = asyncio.create_task(flow())
    await receiver.inbox.expect("one in the middle", lambda s: s.get("id") == "n100")
    await asyncio.to_thread(side.server.stop)
    await flowing
    await asyncio.to_thread(side.server.start)
    # What came while nobody was there waits there.
    back = await Slix(side, Account(receiver.account.jid, receiver.account.password), "back").login()
    await reach(sender, back.jid)
    sent = {f"n{number}": number for number in range(count)}

    def at(*clients) -> set[int]:
        return {sent[stanza.get("id")] for client in clients for stanza in client.inbox.taken(lambda s: s.get("id") in sent)}

    arrived, returned = {100} | at(receiver, back), at(sender)
    missing = set(sent.values()) - arrived - returned
    if drops and missing:
        last = max(number for number in arrived if number < min(returned, default=count))
        assert min(missing) > last, f"what came later arrived: {sorted(missing)}"
    else:
        assert not missing, f"neither arrived nor came back: {sorted(missing)}"


@with_each
async def what_is_on_its_way_when_a_server_restarts_arrives_or_comes_back(stage: Stage, maker: str):
    async with two_servers(stage, maker, secure=True) as (here, there):
        romeo, juliet = await people(here, there)
        # ejabberd (23.01) answers what is asked behind messages that wait for a session, and ends that without a word of them.
        await flow_through_a_restart(romeo, juliet, there, drops=maker == "ejabberd")


@with_each
async def what_comes_while_this_server_restarts_arrives_or_comes_back(stage: Stage, maker: str):
    async with two_servers(stage, maker, secure=True) as (here, there):
        romeo, juliet = await people(here, there)
        # What ejabberd has written before its own end of the stream is taken; what it takes from its users behind that, it drops.
        await flow_through_a_restart(juliet, romeo, here, drops=maker == "ejabberd")


@scenario(servers=ONLY_HERE)
async def a_renewed_certificate_is_shown_to_other_servers_and_their_streams_go_on(stage: Stage):
    async with two_servers(stage, "prosody", secure=True) as (here, there):
        romeo, juliet = await people(here, there)
        await talk(romeo, juliet, 3)
        server = here.server

        def shown(name: str) -> str:
            context = ssl.create_default_context(cafile=str(server.ca_file))
            with socket.create_connection((server.address, 5270), 10) as plain, context.wrap_socket(plain, server_hostname=name) as wrapped:
                return wrapped.getpeercert()["serialNumber"]

        def streams() -> int:
            return server.log_file.read_text().count("a server takes our stanzas") + server.log_file.read_text().count("a server is authenticated")

        before, open_ = await asyncio.to_thread(shown, server.domain), streams()
        chain, key = made(server.folder, "renewed", [server.domain, f"*.{server.domain}"], authority=server.certificates)
        server.certificates.chain.write_bytes(chain.read_bytes())
        server.certificates.key.write_bytes(key.read_bytes())
        os.kill(server.process.pid, signal.SIGHUP)
        deadline = time.monotonic() + 10
        while (now := await asyncio.to_thread(shown, server.domain)) == before:
            assert time.monotonic() < deadline, "the old certificate is still shown"
            await asyncio.sleep(0.05)
        # The rooms have the same one, by its wildcard.
        assert await asyncio.to_thread(shown, server.rooms) == now
        await talk(romeo, juliet, 3)
        assert streams() == open_, "no stream was opened anew"
        status, text = await tercet(server, "metrics")
        assert status == 0 and 'tercet_s2s_streams{direction="out",state="open"} 1' in text and "tercet_certificate_remaining_seconds" in text, text


@with_each
async def the_way_to_the_other_server_is_explained_and_its_history_shown(stage: Stage, maker: str):
    async with two_servers(stage, maker, secure=False) as (here, there):
        romeo, juliet = await people(here, there)
        await talk(romeo, juliet, 3)
        # Nobody trusts a certificate here: that the way leads there shows that our key of dialback was believed.
        status, text = await tercet(here.server, "explain", "domain", there.server.domain)
        assert status == 0 and f"reaches {there.server.domain}" in text, text
        for step in ("_xmpp-server._tcp", "TCP ", "TLS ", "certificate ", "stanzas may be sent"):
            assert step in text, (step, text)
        status, text = await tercet(here.server, "federation", "show", there.server.domain)
        assert status == 0 and "by dialback" in text and "1 open" in text, text
