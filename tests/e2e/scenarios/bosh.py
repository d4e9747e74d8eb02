"""XEP-0124, XEP-0206: sessions in HTTP requests, whose answers get lost."""

import asyncio
import json
import urllib.request
import xml.etree.ElementTree as ET

from harness.bosh import NAMESPACES, Bosh, message, post
from harness.people import pair, subscribe
from harness.scenario import Stage, scenario

SERVERS = ("tercet", "prosody")


def end_of(answer: bytes) -> tuple[str | None, str | None]:
    """Type and condition of an answer."""
    body = ET.fromstring(answer)
    return body.get("type"), body.get("condition")


async def waiting(client: Bosh) -> asyncio.Task:
    """An empty request that is held: nothing is under way to the client."""
    ping = f"<iq xmlns='jabber:client' type='get' id='{client.rid}' to='{client.account.domain}'><ping xmlns='urn:xmpp:ping'/></iq>"
    await client.until(ping, "{jabber:client}iq")
    return client.later()


@scenario(servers=SERVERS)
async def a_page_and_slixmpp_talk_in_both_directions(stage: Stage):
    romeo, = await pair(stage, "romeo")
    juliet = await Bosh(stage, await stage.account("juliet")).login()
    assert juliet.jid == f"{juliet.account.jid}/bosh", juliet.jid
    held = await waiting(juliet)
    for turn in range(3):
        romeo.message(juliet.jid, f"to the page {turn} <🌹>")
        await asyncio.wait_for(held, 10)
        await juliet.inbox.message(f"to the page {turn} <🌹>", from_=romeo.jid)
        held = juliet.later(message(romeo.jid, f"from the page {turn}"))
        await romeo.inbox.message(f"from the page {turn}", from_=juliet.jid)


@scenario(servers=SERVERS)
async def several_stanzas_of_one_request_keep_their_order(stage: Stage):
    romeo, = await pair(stage, "romeo")
    juliet = await Bosh(stage, await stage.account("juliet")).login()
    juliet.later("".join(message(romeo.jid, f"{number}") for number in range(20)))
    came = [await romeo.inbox.expect("a message", lambda stanza: stanza.tag.endswith("message")) for _ in range(20)]
    assert [stanza.findtext("{jabber:client}body") for stanza in came] == [str(number) for number in range(20)]


@scenario(servers=SERVERS)
async def requests_that_overtake_each_other_are_taken_in_order(stage: Stage):
    romeo, = await pair(stage, "romeo")
    juliet = await Bosh(stage, await stage.account("juliet")).login()
    first, _ = juliet.write(message(romeo.jid, "first"))
    second = juliet.later(message(romeo.jid, "second"))
    await romeo.fence(romeo.jid)
    romeo.inbox.no_message("second")
    answer = await asyncio.wait_for(juliet.send(first), 10)
    assert answer.get("type") is None
    await romeo.inbox.expect("first", lambda stanza: stanza.findtext("{jabber:client}body") == "first")
    await romeo.inbox.message("second")
    second.cancel()


@scenario(servers=SERVERS)
async def an_answer_that_was_lost_comes_again(stage: Stage):
    romeo, = await pair(stage, "romeo")
    juliet = await Bosh(stage, await stage.account("juliet")).login()
    rid, _ = juliet.write(message(romeo.jid, "once"))
    held = asyncio.create_task(juliet.send(rid))
    await romeo.inbox.message("once")
    romeo.message(juliet.jid, "lost")
    first = await asyncio.wait_for(held, 10)
    if len(first) == 0:
        rid, _ = juliet.write()
        first = await asyncio.wait_for(juliet.send(rid), 10)
    for _ in range(3):
        again = await asyncio.wait_for(juliet.send(rid), 10)
        assert ET.tostring(again) == ET.tostring(first)
    assert "lost" in ET.tostring(again, encoding="unicode")
    # What was asked again is not done again.
    await romeo.fence(romeo.jid)
    romeo.inbox.no_message("once")
    held = juliet.later()
    romeo.message(juliet.jid, "after")
    await asyncio.wait_for(held, 10)
    await juliet.inbox.message("after")


@scenario(servers=SERVERS)
async def a_connection_that_breaks_loses_nothing(stage: Stage):
    romeo, = await pair(stage, "romeo")
    juliet = await Bosh(stage, await stage.account("juliet")).login()
    for turn in range(5):
        # The request is there, its connection is gone before the answer or without anybody's notice.
        rid, _ = juliet.write(message(romeo.jid, f"up {turn}"))
        connection = await juliet.begin(rid)
        await romeo.inbox.message(f"up {turn}")
        if turn % 2:
            connection.transport.abort()
        romeo.message(juliet.jid, f"down {turn}")
        await romeo.fence(romeo.jid)
        connection.close()
        answer = await asyncio.wait_for(juliet.send(rid), 10)
        bodies = [stanza.findtext("{jabber:client}body") for stanza in answer]
        assert bodies == [f"down {turn}"], bodies
    await romeo.fence(romeo.jid)
    for turn in range(5):
        romeo.inbox.no_message(f"up {turn}")


@scenario(servers=("tercet",))
async def who_asks_twice_for_the_same_is_answered_where_he_asked_last(stage: Stage):
    romeo, = await pair(stage, "romeo")
    juliet = await Bosh(stage, await stage.account("juliet")).login()
    rid, _ = juliet.write(message(romeo.jid, "here"))
    first = asyncio.create_task(juliet.send(rid))
    await romeo.inbox.message("here")
    second = asyncio.create_task(juliet.send(rid))
    error = await asyncio.wait_for(first, 10)
    assert error.get("type") == "error", ET.tostring(error)
    romeo.message(juliet.jid, "there")
    answer = await asyncio.wait_for(second, 10)
    assert [stanza.findtext("{jabber:client}body") for stanza in answer] == ["there"]


@scenario(servers=SERVERS)
async def a_number_outside_the_window_ends_the_session_and_no_other(stage: Stage):
    juliet = await Bosh(stage, await stage.account("juliet")).login()
    other = await Bosh(stage, await stage.account("nurse")).login()
    juliet.rid += 50
    answer = await juliet.ask(message(other.jid, "too far"))
    assert (answer.get("type"), answer.get("condition")) == ("terminate", "item-not-found")
    held = await waiting(other)
    assert not held.done()
    other.inbox.no_message("too far")
    other.later(message(other.jid, "to myself"))
    await asyncio.wait_for(held, 10)


@scenario(servers=("tercet",))
async def a_session_nobody_has_is_not_found_whatever_its_name(stage: Stage):
    juliet = await Bosh(stage, await stage.account("juliet")).login()
    for sid in ("", "x", "'", juliet.sid[:-1], juliet.sid + "A", juliet.sid.swapcase(), "\u0416" * 100):
        body = f"<body {NAMESPACES} rid='{juliet.rid + 1}' sid=\"{sid}\"/>"
        _, _, answer = await post(stage, body)
        assert end_of(answer) == ("terminate", "item-not-found"), (sid, answer)
    await waiting(juliet)


@scenario(servers=("tercet",))
async def what_is_no_body_is_refused_and_ends_nobody(stage: Stage):
    juliet = await Bosh(stage, await stage.account("juliet")).login()
    for body, condition in (
        ("", "bad-request"), ("x", "bad-request"), ("<a/>", "bad-request"), ("<!DOCTYPE a>", "bad-request"),
        (f"<body {NAMESPACES}/>", "bad-request"), (f"<body {NAMESPACES} rid='9007199254740992'/>", "bad-request"),
        (f"<body {NAMESPACES} rid='1'>", "bad-request"), (f"<body {NAMESPACES} rid='1' a='{'x' * 5000}'/>", "policy-violation"),
        (f"<body {NAMESPACES} rid='1'>{'x' * 20_000}</body>", "policy-violation"),
        (b"\xff\xfe<\0", "bad-request"), (f"<body {NAMESPACES} rid='1'>\udcff</body>".encode("utf-8", "surrogateescape"), "bad-request"),
    ):
        status, fields, answer = await post(stage, body)
        assert status in (200, 400, 403), (body, status, answer)
        if status == 200:
            assert end_of(answer) == ("terminate", condition), (body, answer)
            assert fields["content-type"] == "text/xml; charset=utf-8"
    await waiting(juliet)


@scenario(servers=("tercet",))
async def what_is_wrong_in_a_session_ends_it_with_its_condition(stage: Stage):
    account = await stage.account("juliet")
    for payload, condition in (
        ("text", "bad-request"), ("<a>", "bad-request"), ("<!-- -->", "bad-request"), ("<a>&b;</a>", "bad-request"),
        ("<a>" * 100 + "</a>" * 100, "policy-violation"),
        (f"<message xmlns='jabber:client'><body>{'x' * 400_000}</body></message>", "policy-violation"),
        ("<message xmlns='jabber:server'/>", "remote-stream-error"),
        ("<message xmlns='jabber:client' from='x@y'/>", "remote-stream-error"),
    ):
        juliet = await Bosh(stage, account, "r").login()
        held = await waiting(juliet)
        answer = await juliet.ask(payload)
        ends = [answer, await asyncio.wait_for(held, 10)]
        assert any((end.get("type"), end.get("condition")) == ("terminate", condition) for end in ends), (payload[:50], ends)
        juliet.ended = condition


@scenario(servers=SERVERS)
async def a_page_that_leaves_is_gone_at_once(stage: Stage):
    romeo, nurse = await pair(stage, "romeo", "nurse")
    juliet = await Bosh(stage, nurse.account, "page").login()
    await subscribe(romeo, nurse)
    await romeo.inbox.presence(juliet.jid)
    held = await waiting(juliet)
    answer = await juliet.ask("<presence xmlns='jabber:client' type='unavailable'/>", type="terminate")
    await romeo.inbox.presence(juliet.jid, "unavailable")
    assert "terminate" in (answer.get("type"), (await asyncio.wait_for(held, 10)).get("type"))
    juliet.ended = "terminate"


@scenario(servers=("tercet",))
async def a_page_that_falls_silent_is_gone_after_its_time(stage: Stage):
    romeo, nurse = await pair(stage, "romeo", "nurse")
    juliet = await Bosh(stage, nurse.account, "page").login()
    await subscribe(romeo, nurse)
    await romeo.inbox.presence(juliet.jid)
    assert juliet.session["inactivity"] == "60", juliet.session
    answer = await juliet.ask(pause="1")
    assert len(answer) == 0
    await romeo.inbox.presence(juliet.jid, "unavailable")
    answer = await juliet.ask()
    assert answer.get("condition") == "item-not-found"


@scenario(servers=("tercet",))
async def pages_of_every_origin_may_use_it_and_are_told_how(stage: Stage):
    status, fields, _ = await post(stage, "", "OPTIONS", "Origin: https://elsewhere.example\r\n"
                                   "Access-Control-Request-Method: POST\r\n")
    assert status == 204, status
    assert fields["access-control-allow-origin"] == "*", fields
    assert "post" in fields["access-control-allow-methods"], fields
    assert fields["access-control-allow-headers"] == "content-type", fields
    assert "access-control-allow-credentials" not in fields, fields
    status, fields, _ = await post(stage, "", "GET")
    assert status == 405 and fields["allow"] == "post, options", (status, fields)
    _, fields, _ = await post(stage, "x")
    assert fields["access-control-allow-origin"] == "*" and fields["x-content-type-options"] == "nosniff", fields
    address = stage.server.address
    with urllib.request.urlopen(f"http://{address}:{stage.server.http_port}/.well-known/host-meta.json") as answer:
        links = json.load(answer)["links"]
    assert {"rel": "urn:xmpp:alt-connections:xbosh", "href": f"https://{address}:5281/bosh"} in links, links


@scenario(servers=("tercet",))
async def a_session_whose_requests_stop_is_resumed_by_the_next(stage: Stage):
    romeo, nurse = await pair(stage, "romeo", "nurse")
    await subscribe(romeo, nurse)
    juliet = await Bosh(stage, nurse.account, "page").login()
    await romeo.inbox.presence(juliet.jid)
    name = await juliet.manage()
    await juliet.ask(pause="1")
    # Another session is the clock: its empty request is answered after two seconds.
    clock = Bosh(stage, stage.nobody("clock"))
    await clock.open(wait="2")
    await clock.ask()
    assert (await juliet.ask()).get("condition") == "item-not-found"
    romeo.message(juliet.jid, "while nobody asked")
    await romeo.fence(romeo.jid)
    again = Bosh(stage, nurse.account, "page")
    resumed = await again.resume(name, 0)
    assert resumed.get("previd") == name
    while again.inbox.find(lambda s: s.findtext("{jabber:client}body") == "while nobody asked") is None:
        await again.ask()
    again.later(message(romeo.jid, "back again"))
    await romeo.inbox.message("back again", from_=juliet.jid)
    romeo.inbox.no_presence(juliet.jid, "unavailable")


@scenario(servers=("tercet",))
async def a_session_that_another_page_resumes_is_told_and_loses_nothing(stage: Stage):
    romeo, = await pair(stage, "romeo")
    account = await stage.account("juliet")
    juliet = await Bosh(stage, account, "page").login()
    name = await juliet.manage()
    rid, _ = juliet.write(message(romeo.jid, "first"))
    lost = asyncio.create_task(juliet.send(rid))
    await romeo.inbox.message("first")
    romeo.message(juliet.jid, "not acknowledged")
    await asyncio.wait_for(lost, 10)
    held = await waiting(juliet)
    again = Bosh(stage, account, "page")
    resumed = await again.resume(name, 0)
    # The message and the ping that followed it.
    assert resumed.get("h") == "2", resumed.attrib
    end = await asyncio.wait_for(held, 10)
    assert (end.get("type"), end.get("condition")) == ("terminate", "remote-stream-error"), ET.tostring(end)
    assert end.find(".//{urn:ietf:params:xml:ns:xmpp-streams}conflict") is not None, ET.tostring(end)
    juliet.ended = "conflict"
    while again.inbox.find(lambda s: s.findtext("{jabber:client}body") == "not acknowledged") is None:
        await again.ask()
