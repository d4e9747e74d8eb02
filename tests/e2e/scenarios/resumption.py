"""XEP-0198: sessions that outlive their connections."""

import asyncio
import datetime
import os
import random
import time

from harness.aio import Aio, until
from harness.managed import Managed
from harness.people import befriend, pair
from harness.scenario import Stage, scenario
from harness.slix import Slix
from harness.web import Web

from .operations import own_server

DELAY = "{urn:xmpp:delay}delay"
#: Cuts of the long conversation, and the messages of each side between two of them.
CUTS = 200
SEED = int(os.environ.get("E2E_SEED", "198"))


async def talk(me: Managed, to: Managed, cuts: int, dice: random.Random) -> int:
    """Sends numbered messages while the connection is cut again and again; returns how many."""
    sent = 0
    for _ in range(cuts):
        me.cut_after(dice.randrange(1, 2500))
        while not me._task.done():
            me.message(to.jid, str(sent))
            sent += 1
            # What comes meanwhile has its turn.
            await asyncio.sleep(0 if dice.random() < 0.8 else 0.001)
        await me.resume()
    return sent


@scenario(servers=("tercet",), limit=60)
async def a_conversation_survives_200_cuts_with_each_message_once_and_in_order(stage: Stage):
    romeo = await Managed(stage, await stage.account("romeo"), "phone").login()
    juliet = await Managed(stage, await stage.account("juliet"), "phone").login()
    from_romeo, from_juliet = await asyncio.gather(
        talk(romeo, juliet, CUTS // 2, random.Random(SEED)),
        talk(juliet, romeo, CUTS // 2, random.Random(SEED + 1)))
    romeo.ask(), juliet.ask()
    await romeo.until(lambda: not romeo.unacknowledged and len(romeo.bodies()) >= from_juliet)
    await juliet.until(lambda: not juliet.unacknowledged and len(juliet.bodies()) >= from_romeo)
    assert romeo.bodies() == [str(n) for n in range(from_juliet)], romeo.bodies()
    assert juliet.bodies() == [str(n) for n in range(from_romeo)], juliet.bodies()
    assert romeo.resumptions + juliet.resumptions == CUTS


@scenario(servers=("tercet",))
async def slixmpp_resumes_and_gets_what_came_meanwhile(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    await befriend(romeo, juliet)
    phone = await Slix(stage, await stage.account("mercutio"), "phone", managed=True).login()
    jid, id_ = phone.jid, phone.xmpp["xep_0198"].sm_id
    assert id_, "the session can be resumed"
    for turn in range(3):
        phone.cut()
        romeo.message(jid, f"while away {turn}")
        await romeo.settle()
        phone.message(romeo.jid, f"from nowhere {turn}")
        await phone.resume()
        assert (phone.jid, phone.xmpp["xep_0198"].sm_id) == (jid, id_)
        late = await phone.inbox.message(f"while away {turn}", from_=romeo.jid)
        stamps = [delay.get("from") for delay in late.findall(DELAY)]
        assert stamps == [phone.account.domain], f"it tells when it came: {late}"
        await romeo.inbox.message(f"from nowhere {turn}", from_=jid)
        romeo.message(jid, f"here again {turn}")
        live = await phone.inbox.message(f"here again {turn}", from_=romeo.jid)
        assert live.find(DELAY) is None, live


@scenario(servers=("tercet",))
async def what_is_sent_again_tells_when_it_was_sent_first_however_often(stage: Stage):
    romeo, = await pair(stage, "romeo")
    phone = await Managed(stage, await stage.account("juliet"), "phone").login()
    # The phone hears nothing of it, nor of the first time that it comes again.
    phone.cut_after(0)
    before = int(time.time())
    romeo.message(phone.jid, "when?")
    await phone.was_cut()
    after = time.time()
    for _ in range(2):
        await phone.resume()
        await phone.until(phone.bodies)
        assert phone.bodies() == ["when?"], phone.seen()
        again = phone.stanzas[0]
        stamps = [delay.get("stamp") for delay in again.findall(DELAY)]
        assert len(stamps) == 1, phone.seen()
        assert before <= datetime.datetime.fromisoformat(stamps[0]).timestamp() <= after, stamps
        # As if it had never come.
        await phone.cut()
        phone.forget()


@scenario(servers=("tercet",))
async def contacts_do_not_see_a_session_come_and_go(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    await befriend(romeo, juliet)
    phone = await Managed(stage, juliet.account, "phone").login()
    await romeo.inbox.presence(phone.jid)
    for _ in range(3):
        await phone.cut()
        await phone.resume()
    phone.ask()
    await romeo.settle()
    assert romeo.inbox.find(lambda s: s.get("from") == phone.jid) is None, romeo.seen()


@scenario(servers=("tercet",))
async def aioxmpp_resumes_and_gets_what_came_meanwhile(stage: Stage):
    romeo, = await pair(stage, "romeo")
    juliet = await Aio(stage, await stage.account("juliet"), "phone").login()
    assert juliet.client.stream.sm_enabled and juliet.client.stream.sm_resumable
    resumed = []
    juliet.client.on_stream_resumed.connect(lambda: resumed.append(True))
    jid = juliet.jid
    juliet.cut()
    romeo.message(jid, "while away")
    await romeo.settle()
    await until("resumption", lambda: resumed)
    assert juliet.jid == jid
    await juliet.got_message("while away")
    await juliet.message(romeo.jid, "here again")
    await romeo.inbox.message("here again", from_=jid)


@scenario(servers=("tercet",))
async def xmpp_js_resumes_in_a_websocket_over_tls(stage: Stage):
    romeo, = await pair(stage, "romeo")
    page = await Web(stage, await stage.account("juliet"), "page", tls=True).login()
    for turn in range(2):
        page.cut()
        romeo.message(page.jid, f"while away {turn}")
        await page.resumed()
        await page.inbox.message(f"while away {turn}", from_=romeo.jid)
        page.message(romeo.jid, f"here again {turn}")
        await romeo.inbox.message(f"here again {turn}", from_=page.jid)


@scenario(servers=("tercet",))
async def what_a_client_that_stays_away_had_not_acknowledged_waits_for_its_user(stage: Stage):
    async with own_server(stage, start=False) as beside:
        config = beside.server.config
        config.write_text(config.read_text().replace("rates = false", "rates = false\nresumption = \"1s\""))
        await asyncio.to_thread(beside.server.start)
        romeo, = await pair(beside, "romeo")
        account = await beside.account("juliet")
        phone = await Managed(beside, account, "phone").login()
        await phone.cut()
        for number in range(5):
            romeo.message(account.jid, f"letter {number}")
        await romeo.settle()
        # A request comes back when the time is up.
        refused = await romeo.iq_error("get", "<x xmlns='urn:example:x'/>", phone.jid)
        assert refused == "service-unavailable", refused
        later = await Slix(beside, account).login()
        for number in range(5):
            letter = await later.inbox.message(f"letter {number}")
            assert len(letter.findall(DELAY)) == 1, letter


@scenario(servers=("tercet",))
async def what_waits_for_a_session_is_kept_when_the_server_stops(stage: Stage):
    async with own_server(stage) as beside:
        romeo, = await pair(beside, "romeo")
        account = await beside.account("juliet")
        phone = await Managed(beside, account, "phone").login()
        await phone.cut()
        for number in range(5):
            romeo.message(phone.jid, f"letter {number}")
        await romeo.settle()
        await asyncio.to_thread(beside.server.stop)
        await asyncio.to_thread(beside.server.start)
        later = await Slix(beside, account).login()
        for number in range(5):
            await later.inbox.message(f"letter {number}")


@scenario(servers=("tercet",))
async def a_client_that_begins_anew_gets_what_its_session_had_not_acknowledged(stage: Stage):
    romeo, = await pair(stage, "romeo")
    account = await stage.account("juliet")
    before = await Managed(stage, account, "phone").login()
    await before.cut()
    for number in range(5):
        romeo.message(before.jid, f"letter {number}")
    await romeo.settle()
    after = await Managed(stage, account, "phone").login(available=False)
    after.send("<presence/>")
    await after.until(lambda: len(after.bodies()) >= 5)
    assert after.bodies() == [f"letter {number}" for number in range(5)], after.bodies()


@scenario(servers=("tercet",))
async def a_connection_lost_while_waiting_messages_come_in_loses_none(stage: Stage):
    romeo, = await pair(stage, "romeo")
    account = await stage.account("juliet")
    letters = [f"{number} {'x' * 4000}" for number in range(150)]
    for letter in letters:
        romeo.message(account.jid, letter)
    await romeo.settle()
    phone = await Managed(stage, account, "phone").login(available=False)
    phone.cut_after(100_000)
    phone.send("<presence/>")
    await phone.was_cut()
    await phone.resume()
    await phone.until(lambda: len(phone.bodies()) >= len(letters))
    assert phone.bodies() == letters
    phone.ask()
    await phone.until(lambda: not phone.unacknowledged)
