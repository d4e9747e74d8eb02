"""RFC 7395, XEP-0156: clients in a WebSocket, and the way to them."""

import json
import urllib.request

from harness.people import pair
from harness.scenario import Stage, scenario
from harness.slix import LoginRefused
from harness.web import Web


@scenario(servers=("tercet",))
async def xmpp_js_and_slixmpp_talk_in_both_directions(stage: Stage):
    romeo, = await pair(stage, "romeo")
    juliet = await Web(stage, await stage.account("juliet"), "page").login()
    # By XEP-0386 the resource that xmpp.js wants is the beginning of the one that it gets.
    assert juliet.jid.startswith(f"{juliet.account.jid}/page/"), juliet.jid
    for turn in range(3):
        romeo.message(juliet.jid, f"from slixmpp <{turn}> 🌹")
        await juliet.inbox.message(f"from slixmpp <{turn}> 🌹", from_=romeo.jid)
        juliet.message(romeo.jid, f"from xmpp.js & {turn}")
        await romeo.inbox.message(f"from xmpp.js & {turn}", from_=juliet.jid)


@scenario(servers=("tercet",))
async def two_pages_talk_and_a_long_message_comes_whole(stage: Stage):
    romeo = await Web(stage, await stage.account("romeo")).login()
    juliet = await Web(stage, await stage.account("juliet")).login()
    long = "x" * 100_000
    romeo.message(juliet.jid, long)
    await juliet.inbox.message(long, from_=romeo.jid)


@scenario(servers=("tercet",))
async def a_wrong_password_is_refused_in_a_page(stage: Stage):
    try:
        await Web(stage, await stage.account("romeo"), password="wrong").login()
    except LoginRefused as refused:
        assert "not-authorized" in str(refused), refused
    else:
        raise AssertionError("logged in")


@scenario(servers=("tercet",))
async def host_meta_names_the_websocket(stage: Stage):
    address = stage.server.address
    with urllib.request.urlopen(f"http://{address}:{stage.server.http_port}/.well-known/host-meta.json") as answer:
        links = json.load(answer)["links"]
    assert {"rel": "urn:xmpp:alt-connections:websocket", "href": f"wss://{address}:5281/ws"} in links, links
