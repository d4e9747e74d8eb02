"""Components (XEP-0114): slixmpp's ComponentXMPP as a gateway, with users behind it."""

import asyncio
import contextlib
import time

import slixmpp
from slixmpp.exceptions import IqError

from harness.aio import until
from harness.component import Component, ComponentRefused
from harness.people import pair
from harness.rooms import enter_new, instant, join
from harness.scenario import Account, Stage, scenario
from harness.slix import Slix

from .operations import ONLY_HERE, own_server, tercet

SECRET = "a long secret that nobody guesses"
CHAT_STATES = "http://jabber.org/protocol/chatstates"
INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"
ERROR = "{jabber:client}error"
STANZAS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"


@contextlib.asynccontextmanager
async def with_components(stage: Stage, *, keys: str = "", more: str = ""):
    """A server with the component `gateway.DOMAIN`."""
    async with own_server(stage, start=False) as beside:
        server = beside.server
        beside.gateway = f"gateway.{server.domain}"
        with open(server.config, "a", encoding="utf-8") as config:
            config.write(f"""
[[component]]
domain = "{beside.gateway}"
secret = "{SECRET}"
host = "{server.domain}"
name = "A gateway"
{keys}
{more}
""")
        await asyncio.to_thread(server.start)
        yield beside


async def gateway(beside: Stage) -> Component:
    """The component, connected."""
    return await Component(beside, beside.gateway, SECRET).start()


def condition(stanza) -> str:
    """The condition of an error stanza."""
    found = [child.tag for child in stanza.find(ERROR) if child.tag.startswith(STANZAS)]
    return found[0].removeprefix(STANZAS)


@scenario(servers=ONLY_HERE)
async def a_user_and_somebody_behind_a_gateway_talk_with_chat_states_in_order(stage: Stage):
    async with with_components(stage) as beside:
        component = await gateway(beside)
        [romeo] = await pair(beside, "romeo")
        friend = f"friend@{beside.gateway}"
        for turn in range(30):
            romeo.message(friend, f"out {turn}")
            component.message(f"{friend}/phone", romeo.jid, f"in {turn}")
        for turn in range(30):
            for inbox, way, sender in ((component.inbox, "out", romeo.jid), (romeo.inbox, "in", f"{friend}/phone")):
                first = await inbox.expect("any message", lambda s: s.tag == "{jabber:client}message")
                assert first.findtext("{jabber:client}body") == f"{way} {turn}", "the order is kept"
                assert first.get("from") == sender
        romeo.send(f"<message type='chat' to='{friend}'><composing xmlns='{CHAT_STATES}'/></message>")
        await component.inbox.expect("composing", lambda s: s.find(f"{{{CHAT_STATES}}}composing") is not None)
        component.send(f"<message type='chat' from='{friend}' to='{romeo.account.jid}'><active xmlns='{CHAT_STATES}'/></message>")
        await romeo.inbox.expect("active", lambda s: s.find(f"{{{CHAT_STATES}}}active") is not None)
        await romeo.fence(beside.gateway)
        await component.fence(romeo.jid)
        await component.fence(beside.server.domain)


@scenario(servers=ONLY_HERE)
async def an_echo_answers_everybody_whose_client_writes_to_it(stage: Stage):
    async with with_components(stage) as beside:
        component = Component(beside, beside.gateway, SECRET)
        component.xmpp.add_event_handler("message", lambda m: m.reply(f"echo {m['body']}").send())
        await component.start()
        people = await pair(beside, "romeo", "juliet", "mercutio")
        for turn in range(10):
            for person in people:
                person.message(f"echo{turn}@{beside.gateway}", f"{person.account.local} {turn}")
        for turn in range(10):
            for person in people:
                await person.inbox.message(f"echo {person.account.local} {turn}", from_=f"echo{turn}@{beside.gateway}")


@scenario(servers=ONLY_HERE)
async def a_gateway_is_found_among_the_services_and_answers_for_itself(stage: Stage):
    async with with_components(stage) as beside:
        component = Component(beside, beside.gateway, SECRET)
        component.xmpp["xep_0030"].add_identity(category="gateway", itype="irc", name="IRC")
        await component.start()
        [romeo] = await pair(beside, "romeo")
        items = await romeo.iq("get", f"<query xmlns='{ITEMS}'/>", beside.server.domain)
        listed = {item.get("jid"): item.get("name") for item in items.iter(f"{{{ITEMS}}}item")}
        assert listed.get(beside.gateway) == "A gateway", listed
        info = await romeo.iq("get", f"<query xmlns='{INFO}'/>", beside.gateway)
        identity = info.find(f".//{{{INFO}}}identity")
        assert (identity.get("category"), identity.get("type")) == ("gateway", "irc")
        info = await component.iq("get", f"<query xmlns='{INFO}'/>", beside.server.domain)
        assert info.find(f".//{{{INFO}}}identity").get("category") == "server"
        assert await romeo.iq_error("get", "<query xmlns='urn:unknown'/>", beside.gateway) in (
            "feature-not-implemented", "service-unavailable")


@scenario(servers=ONLY_HERE)
async def a_user_subscribes_to_somebody_behind_a_gateway_and_sees_them_come_and_go(stage: Stage):
    async with with_components(stage) as beside:
        component = await gateway(beside)
        [romeo] = await pair(beside, "romeo")
        friend, me = f"friend@{beside.gateway}", romeo.account.jid
        romeo.presence(friend, "subscribe")
        await component.inbox.presence(me, "subscribe")
        component.presence(friend, me, "subscribed")
        component.presence(f"{friend}/phone", me, status="on the bus")
        await romeo.inbox.presence(friend, "subscribed")
        await romeo.inbox.presence(f"{friend}/phone", status="on the bus")
        await romeo.inbox.roster_push(friend, subscription="to")
        component.presence(friend, me, "subscribe")
        await romeo.inbox.presence(friend, "subscribe")
        romeo.presence(friend, "subscribed")
        await component.inbox.presence(me, "subscribed")
        await component.inbox.presence(romeo.jid)
        await romeo.available(pstatus="in the garden")
        await component.inbox.presence(romeo.jid, status="in the garden")
        # Who logs in asks how the contacts are.
        phone = await Slix(beside, romeo.account, "phone").login()
        await component.inbox.expect("a probe", lambda s: s.get("type") == "probe" and s.get("to") == friend)
        component.presence(f"{friend}/phone", phone.jid, status="asleep")
        await phone.inbox.presence(f"{friend}/phone", status="asleep")
        # The gateway asks, too.
        component.presence(friend, me, "probe")
        await component.inbox.presence(romeo.jid, status="in the garden")
        await romeo.close()
        await component.inbox.presence(romeo.jid, "unavailable")


@scenario(servers=ONLY_HERE)
async def what_comes_while_a_gateway_restarts_waits_for_it(stage: Stage):
    async with with_components(stage) as beside:
        [romeo] = await pair(beside, "romeo")
        friend = f"friend@{beside.gateway}"
        for ending in ("cut", "close"):
            component = await gateway(beside)
            romeo.message(friend, f"before {ending}")
            await component.inbox.message(f"before {ending}")
            if ending == "cut":
                component.cut()
                # What goes into a connection that is dead is lost; from here on the server knows.
                await until("the end of the component in the log", lambda: "a component's stream has ended" in beside.server.log_file.read_text())
            else:
                await component.close()
            for turn in range(20):
                romeo.message(friend, f"meanwhile {ending} {turn}")
            await romeo.settle()
            assert "not connected" in await listed(beside)
            component = await again(beside)
            for turn in range(20):
                first = await component.inbox.expect("any message", lambda s: s.tag == "{jabber:client}message")
                assert first.findtext("{jabber:client}body") == f"meanwhile {ending} {turn}"
            assert "connected since" in await listed(beside)
            await component.close()
        status, printed = await tercet(beside.server, "metrics")
        assert status == 0 and f'tercet_component_sent_stanzas_total{{component="{beside.gateway}"}} ' in printed, printed


async def listed(beside: Stage) -> str:
    """What the command line says of the component."""
    status, printed = await tercet(beside.server, "component", "list")
    assert status == 0, printed
    return next(line for line in printed.splitlines() if line.startswith(beside.gateway))


async def again(beside: Stage) -> Component:
    """The component connects again, as soon as the server knows that the last connection is over."""
    for _ in range(100):
        try:
            return await gateway(beside)
        except ComponentRefused:
            await asyncio.sleep(0.05)
    raise AssertionError("the component is not let in again")


@scenario(servers=ONLY_HERE)
async def what_is_for_a_gateway_that_stays_away_comes_back_with_the_reason(stage: Stage):
    async with with_components(stage, keys="queue_time = 1") as beside:
        [romeo] = await pair(beside, "romeo")
        friend = f"friend@{beside.gateway}"
        error = await romeo.iq_error("get", f"<query xmlns='{INFO}'/>", friend)
        assert error == "remote-server-timeout", error
        component = await gateway(beside)
        await component.close()
        romeo.message(friend, "in vain")
        bounced = await romeo.inbox.expect("an error", lambda s: s.get("type") == "error" and s.get("from") == friend)
        assert condition(bounced) == "remote-server-timeout"
        assert "is not connected" in bounced.findtext(f"{ERROR}/{STANZAS}text")


@scenario(servers=ONLY_HERE)
async def contacts_behind_a_gateway_that_has_crashed_are_shown_as_gone_and_asked_again_when_it_is_back(stage: Stage):
    async with with_components(stage, keys="queue_time = 1") as beside:
        component = await gateway(beside)
        [romeo] = await pair(beside, "romeo")
        friend, me = f"friend@{beside.gateway}", romeo.account.jid
        romeo.presence(friend, "subscribe")
        await component.inbox.presence(me, "subscribe")
        component.presence(friend, me, "subscribed")
        component.presence(friend, me)
        await romeo.inbox.presence(friend)
        component.cut()
        await romeo.inbox.expect("unavailable", lambda s: s.get("type") == "unavailable" and s.get("from") == friend, 20)
        component = await again(beside)
        await component.inbox.expect("a probe", lambda s: s.get("type") == "probe" and s.get("to") == friend, 20)


@scenario(servers=ONLY_HERE)
async def who_does_not_know_the_secret_or_the_name_is_not_let_in(stage: Stage):
    async with with_components(stage) as beside:
        for domain, secret, expected in (
                (beside.gateway, "another secret", "not-authorized"),
                (beside.gateway, "", "not-authorized"),
                (f"other.{beside.server.domain}", SECRET, "host-unknown"),
                (beside.server.domain, SECRET, "host-unknown")):
            try:
                await Component(beside, domain, secret).start()
            except ComponentRefused as refused:
                assert expected in str(refused), refused
            else:
                raise AssertionError(f"{domain} must be refused")
        first = await gateway(beside)
        try:
            await gateway(beside)
        except ComponentRefused as refused:
            assert "conflict" in str(refused), refused
        else:
            raise AssertionError("the second must be refused")
        await first.fence(beside.server.domain)
        log = beside.server.log_file.read_text()
        assert "another secret than is set here" in log and SECRET not in log


@scenario(servers=ONLY_HERE)
async def a_gateway_cannot_speak_for_anybody_else(stage: Stage):
    async with with_components(stage) as beside:
        romeo, juliet = await pair(beside, "romeo", "juliet")
        for sender in (juliet.account.jid, beside.server.domain, f"x@sub.{beside.gateway}", f"x@{beside.server.rooms}"):
            component = await again(beside)
            component.message(sender, romeo.jid, "forged")
            assert await component.ended() == "stream_error: invalid-from"
        await romeo.settle()
        romeo.inbox.no_message("forged")


@scenario(servers=ONLY_HERE)
async def somebody_behind_a_gateway_talks_in_a_room(stage: Stage):
    async with with_components(stage) as beside:
        component = await gateway(beside)
        [romeo] = await pair(beside, "romeo")
        room, ghost = beside.room("garden"), f"ghost@{beside.gateway}"
        await enter_new(romeo, room, "romeo")
        await instant(romeo, room)
        component.send(join(room, "ghost", from_=ghost))
        await component.inbox.presence(f"{room}/ghost")
        await romeo.inbox.presence(f"{room}/ghost")
        component.send(f"<message type='groupchat' from='{ghost}' to='{room}'><body>boo</body></message>")
        await romeo.inbox.message("boo", from_=f"{room}/ghost")
        romeo.send(f"<message type='groupchat' to='{room}'><body>who?</body></message>")
        await component.inbox.message("who?", to=ghost)


@scenario(servers=ONLY_HERE, limit=120)
async def a_flood_from_a_gateway_slows_nobody_else_down(stage: Stage):
    async with with_components(stage) as beside:
        component = await gateway(beside)
        romeo, juliet, mercutio = await pair(beside, "romeo", "juliet", "mercutio")
        friend = f"friend@{beside.gateway}"
        flood = f"<message type='chat' from='{friend}' to='{mercutio.jid}'><body>flood</body></message>" * 150
        worst = 0.0
        for turn in range(20):
            component.xmpp.send_raw(flood)
            before = time.monotonic()
            romeo.message(juliet.jid, f"calm {turn}")
            await juliet.inbox.message(f"calm {turn}")
            worst = max(worst, time.monotonic() - before)
        assert worst < 5.0, f"{worst:.1f} s"
        component.message(friend, mercutio.jid, "last")
        await mercutio.inbox.expect("the last", lambda s: s.findtext("{jabber:client}body") == "last", 60)


@scenario(servers=ONLY_HERE)
async def two_gateways_reach_each_other_and_one_below_the_other(stage: Stage):
    second = f"""
[[component]]
domain = "wide.test"
secret = "{SECRET}"
subdomains = true
second_connection = "replace"
"""
    async with with_components(stage, more=second) as beside:
        one, two = await gateway(beside), await Component(beside, "wide.test", SECRET).start()
        one.message(f"a@{beside.gateway}", "b@wide.test", "hello")
        await two.inbox.message("hello", from_=f"a@{beside.gateway}")
        two.message("c@deep.wide.test", f"a@{beside.gateway}", "from below")
        await one.inbox.message("from below", from_="c@deep.wide.test")
        three = await Component(beside, "wide.test", SECRET).start()
        assert await two.ended() == "stream_error: conflict"
        one.message(f"a@{beside.gateway}", "d@deep.wide.test", "to the newcomer")
        await three.inbox.message("to the newcomer")


@scenario(servers=ONLY_HERE)
async def a_gateway_with_privileges_acts_for_users_and_is_refused_beyond_them(stage: Stage):
    keys = 'roster = "both"\nmessages = true\npresence = true\nrequests = ["urn:xmpp:ping=get"]'
    async with with_components(stage, keys=keys) as beside:
        romeo, juliet = await pair(beside, "romeo", "juliet")
        phone = await Slix(beside, romeo.account, "phone").login()
        await phone.iq("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
        component = Component(beside, beside.gateway, SECRET)
        told = asyncio.get_running_loop().create_future()
        component.xmpp.add_event_handler("privileges_advertised", lambda _: told.done() or told.set_result(None))
        await component.start()
        await asyncio.wait_for(told, 10)
        for person in (romeo, juliet, phone):
            await component.inbox.presence(person.jid)
        privilege, friend, me = component.xmpp["xep_0356"], f"friend@{beside.gateway}", romeo.account.jid
        await privilege.set_roster(me, {friend: {"name": "Friend", "subscription": "both", "groups": ["IRC"]}})
        item = await romeo.inbox.roster_push(friend, subscription="both", name="Friend")
        assert item.findtext("{jabber:iq:roster}group") == "IRC"
        component.presence(friend, me)
        await romeo.inbox.presence(friend)
        roster = await privilege.get_roster(me)
        assert friend in roster["roster"]["items"]
        message = slixmpp.Message()
        message["from"], message["to"], message["type"], message["body"] = me, juliet.account.jid, "chat", "by the gateway"
        privilege.send_privileged_message(message)
        await juliet.inbox.message("by the gateway", from_=me)
        await phone.inbox.expect("a copy", lambda s: "by the gateway" in "".join(s.itertext()) and s.find("{urn:xmpp:carbons:2}sent") is not None)
        ping = slixmpp.Iq()
        ping["from"], ping["to"], ping["type"] = me, juliet.jid, "get"
        ping.enable("ping")
        answer = await privilege.send_privileged_iq(ping)
        assert answer["type"] == "result" and answer["from"] == juliet.jid
        for to in (f"nobody@{beside.server.domain}", f"x@{beside.server.second_domain}"):
            try:
                await component.iq("get", "<query xmlns='jabber:iq:roster'/>", to)
            except IqError as refused:
                assert any(word in str(refused.iq) for word in ("<forbidden", "<service-unavailable")), refused.iq
            else:
                raise AssertionError(f"{to} must be refused")


@scenario(servers=ONLY_HERE)
async def components_are_checked_and_follow_a_reload(stage: Stage):
    async with with_components(stage) as beside:
        server = beside.server
        status, text = await tercet(server, "check")
        assert status == 0, text
        component = await gateway(beside)
        text = server.config.read_text()
        server.config.write_text(text.replace(f'domain = "{beside.gateway}"', 'domain = "renamed.test"'))
        server.process.send_signal(1)
        assert await component.ended() == "stream_error: host-gone"
        renamed = await Component(beside, "renamed.test", SECRET).start()
        await renamed.fence(server.domain)
