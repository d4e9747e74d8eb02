"""Logging in with one request: SASL2, Bind 2, tokens, resumption with the login (XEP-0388, 0386, 0484, 0198)."""

import asyncio
import dataclasses
import random

from harness.people import pair
from harness.scenario import Stage, scenario
from harness.slix import Slix
from harness.swift import BIND2, Refused, Swift
from harness.web import Web

from .resumption import CUTS, SEED, talk

CARBONS = "<enable xmlns='urn:xmpp:carbons:2'/>"
MAM = "{urn:xmpp:mam:2}"


async def refused(login) -> str:
    """What a login is refused with."""
    try:
        await login
    except Refused as refused_:
        return str(refused_)
    raise AssertionError("the login must be refused")


@scenario(servers=("tercet",))
async def one_request_logs_in_and_the_next_needs_no_password(stage: Stage):
    romeo, = await pair(stage, "romeo")
    for name, mechanism in ("juliet", "HT-SHA-256-ENDP"), ("rosaline", "HT-SHA-256-NONE"):
        juliet = await Swift(stage, await stage.account(name), mechanism=mechanism).login()
        jid, first = juliet.jid, juliet.token
        assert jid.startswith(f"{juliet.account.jid}/Swift/") and juliet.agent not in jid, jid
        assert first, "it gets a token"
        juliet.account = dataclasses.replace(juliet.account, password="forgotten")
        for turn in range(3):
            romeo.message(jid, f"turn {turn}")
            await juliet.until(lambda: juliet.bodies() == [f"turn {n}" for n in range(turn + 1)])
            await juliet.cut()
            romeo.message(jid, "between")
            juliet.stanzas = [s for s in juliet.stanzas if s.findtext("{jabber:client}body") != "between"]
            await juliet.resume()
            await juliet.until(lambda: "between" in juliet.bodies())
            juliet.stanzas = [s for s in juliet.stanzas if s.findtext("{jabber:client}body") != "between"]
        # Another session: the same resource, which is the client's.
        await juliet.cut()
        await juliet.login(keep=True)
        assert juliet.jid == jid, juliet.jid
        await juliet.close()


@scenario(servers=("tercet",), limit=60)
async def a_conversation_survives_cuts_with_logins_by_token(stage: Stage):
    romeo = await Swift(stage, await stage.account("romeo")).login()
    juliet = await Swift(stage, await stage.account("juliet")).login()
    cuts = CUTS // 2
    from_romeo, from_juliet = await asyncio.gather(
        talk(romeo, juliet, cuts // 2, random.Random(SEED)),
        talk(juliet, romeo, cuts // 2, random.Random(SEED + 1)))
    romeo.ask(), juliet.ask()
    await romeo.until(lambda: not romeo.unacknowledged and len(romeo.bodies()) >= from_juliet)
    await juliet.until(lambda: not juliet.unacknowledged and len(juliet.bodies()) >= from_romeo)
    assert romeo.bodies() == [str(n) for n in range(from_juliet)], romeo.bodies()
    assert juliet.bodies() == [str(n) for n in range(from_romeo)], juliet.bodies()


@scenario(servers=("tercet",))
async def a_token_that_is_used_twice_ends_and_the_password_still_opens(stage: Stage):
    juliet = await Swift(stage, await stage.account("juliet")).login()
    stolen, agent = juliet.token, juliet.agent
    await juliet.close()
    await juliet.login(keep=True)
    # Somebody has heard the last login, and sends it again.
    thief = Swift(stage, juliet.account)
    thief.agent, thief.token, thief.count = agent, stolen, juliet.count - 1
    assert await refused(thief.login(keep=True)) == "not-authorized"
    # Nobody goes on: who is the thief is not known.
    await juliet.was_cut()
    assert await refused(juliet.login(keep=True)) == "not-authorized"
    juliet.token, juliet.count = "", 0
    await juliet.login()
    assert juliet.token != stolen


@scenario(servers=("tercet",))
async def a_session_begins_with_copies_and_with_what_the_archive_has(stage: Stage):
    romeo, = await pair(stage, "romeo")
    account = await stage.account("juliet")
    # XEP-0386 §3.2: what the archive has is not handed over a second time.
    romeo.message(account.jid, "while away")
    await romeo.settle()
    juliet = await Swift(stage, account).login(inner=CARBONS)
    metadata = juliet.success.find(f"{BIND2}bound/{MAM}metadata")
    assert metadata is not None and metadata.find(f"{MAM}end") is not None, "the archive's ends"
    desk = await Slix(stage, account, "desk").login()
    desk.message(romeo.jid, "from the desk")
    messages = lambda: [s for s in juliet.stanzas if s.tag.endswith("message")]
    await juliet.until(messages)
    copies = [s.find("{urn:xmpp:carbons:2}sent") is not None for s in messages()]
    assert copies == [True], juliet.seen()


@scenario(servers=("tercet",))
async def users_see_their_clients_and_end_their_access(stage: Stage):
    juliet = await Swift(stage, await stage.account("juliet")).login()
    desk = await Slix(stage, juliet.account, "desk").login()
    listed = await desk.iq("get", "<list xmlns='urn:xmpp:cam:0'/>")
    client, = listed.findall(".//{urn:xmpp:cam:0}client")
    assert client.get("connected") == "true", listed
    assert client.findtext(".//{urn:xmpp:cam:0}software") == "Swift", listed
    assert client.find(".//{urn:xmpp:cam:0}fast") is not None, listed
    # It knows the password: its tokens go, but only another password keeps it out.
    revoke = f"<revoke xmlns='urn:xmpp:cam:0' id='{client.get('id')}'/>"
    assert await desk.iq_error("set", revoke) == "service-unavailable"
    await juliet.close()
    assert await refused(juliet.login(keep=True)) == "not-authorized"


@scenario(servers=("tercet",))
async def xmpp_js_comes_back_by_its_token(stage: Stage):
    account = await stage.account("juliet")
    juliet = await Web(stage, account, "page", tls=True).login()
    desk = await Slix(stage, account, "desk").login()
    juliet.cut()
    await juliet.resumed()
    listed = await desk.iq("get", "<list xmlns='urn:xmpp:cam:0'/>")
    assert listed.find(".//{urn:xmpp:cam:0}fast") is not None, listed
