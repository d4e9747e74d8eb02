"""RFC 6121 §5 and §8.5, XEP-0160, XEP-0203: messages to full and bare JIDs, offline messages."""

import datetime

from harness.aio import Aio
from harness.people import pair, quiet
from harness.scenario import Stage, scenario
from harness.slix import Slix
from harness.strophe import Strophe

DELAY = "{urn:xmpp:delay}delay"
STANZAS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"


@scenario
async def a_message_to_the_full_jid_keeps_its_body_type_thread_and_payloads(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    romeo.send(f"<message to='{juliet.jid}' type='chat' id='m1'><body>&lt;Wherefore&gt; &amp; 🌹</body>"
               "<thread>t1</thread><x xmlns='urn:example:x' a='1'><y>z</y></x></message>")
    got = await juliet.inbox.message("<Wherefore> & 🌹", type="chat", id="m1", from_=romeo.jid, to=juliet.jid)
    assert got.findtext("{jabber:client}thread") == "t1"
    assert got.find("{urn:example:x}x").get("a") == "1"
    assert got.findtext("{urn:example:x}x/{urn:example:x}y") == "z"


@scenario
async def slixmpp_and_aioxmpp_talk_in_both_directions(stage: Stage):
    romeo, = await pair(stage, "romeo")
    juliet = await Aio(stage, await stage.account("juliet")).login()
    for turn in range(3):
        romeo.message(juliet.jid, f"from slixmpp {turn}")
        await juliet.got_message(f"from slixmpp {turn}")
        await juliet.message(romeo.account.jid, f"from aioxmpp {turn}")
        await romeo.inbox.message(f"from aioxmpp {turn}", from_=juliet.jid)


@scenario
async def aioxmpp_and_libstrophe_talk_in_both_directions(stage: Stage):
    romeo = await Aio(stage, await stage.account("romeo")).login()
    juliet = await Strophe(stage, await stage.account("juliet")).login()
    for turn in range(3):
        await romeo.message(juliet.account.jid, f"from aioxmpp {turn}")
        await juliet.inbox.message(f"from aioxmpp {turn}", from_=romeo.jid)
        juliet.message(romeo.jid, f"from libstrophe {turn}")
        assert str((await romeo.got_message(f"from libstrophe {turn}")).from_) == juliet.jid


@scenario
async def a_hundred_messages_arrive_once_each_and_in_order(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    for number in range(100):
        romeo.message(juliet.jid, str(number))
    await romeo.fence(juliet.jid)
    got = [s.findtext("{jabber:client}body") for s in iter(
        lambda: juliet.inbox.find(lambda s: s.tag == "{jabber:client}message" and s.get("from") == romeo.jid), None)]
    assert got == [str(number) for number in range(100)], got


@scenario
async def a_chat_message_to_the_bare_jid_reaches_the_resource_of_highest_priority(stage: Stage):
    romeo, = await pair(stage, "romeo")
    account = await stage.account("juliet")
    phone = await Slix(stage, account, "phone").login(priority=1)
    desk = await Slix(stage, account, "desk").login(priority=9)
    romeo.message(account.jid, "to the best one")
    await desk.inbox.message("to the best one")
    await quiet(romeo, phone, desk)
    # RFC 6121 §8.5.2.1.1 leaves the choice: the most available resource, or all that are not negative.
    phone.inbox.find(lambda s: s.findtext("{jabber:client}body") == "to the best one")
    await desk.available(priority=0)
    romeo.message(account.jid, "after the change")
    await phone.inbox.message("after the change")


@scenario
async def a_headline_to_the_bare_jid_reaches_all_resources(stage: Stage):
    romeo, = await pair(stage, "romeo")
    account = await stage.account("juliet")
    clients = [await Slix(stage, account, f"r{n}").login(priority=n) for n in range(3)]
    romeo.message(account.jid, "news", "headline")
    for client in clients:
        await client.inbox.message("news", type="headline")


@scenario
async def an_offline_message_comes_after_the_login_with_the_time_it_was_sent(stage: Stage):
    romeo, = await pair(stage, "romeo")
    account = await stage.account("juliet")
    before = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=2)
    romeo.message(account.jid, "first, while you were away")
    romeo.message(account.jid, "second, while you were away", "normal")
    await romeo.settle()
    romeo.inbox.no_message("first, while you were away")
    juliet = await Slix(stage, account).login()
    for body in ("first, while you were away", "second, while you were away"):
        got = await juliet.inbox.message(body, from_=romeo.jid)
        stamp = got.find(DELAY).get("stamp")
        sent = datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00"))
        assert before <= sent <= datetime.datetime.now(datetime.timezone.utc), stamp
    await juliet.close()
    again = await Slix(stage, account).login()
    await again.settle()
    again.inbox.no_message("first, while you were away")


@scenario
async def offline_messages_wait_until_a_resource_is_not_negative(stage: Stage):
    romeo, = await pair(stage, "romeo")
    account = await stage.account("juliet")
    romeo.message(account.jid, "for the phone")
    await romeo.settle()
    shy = await Slix(stage, account, "shy").login(priority=-1)
    shy.inbox.no_message("for the phone")
    phone = await Slix(stage, account, "phone").login(priority=0)
    await phone.inbox.message("for the phone")


@scenario
async def a_message_to_an_account_that_does_not_exist_disturbs_nobody(stage: Stage):
    romeo, = await pair(stage, "romeo")
    nobody = stage.nobody("nobody").jid
    romeo.send(f"<message to='{nobody}' type='chat' id='lost'><body>hello?</body></message>")
    romeo.send(f"<presence to='{nobody}' type='subscribe' id='ask'/>")
    assert await romeo.iq_error("get", "<query xmlns='urn:example:unknown'/>", nobody) == "service-unavailable"
    # RFC 6121 §8.5.1: a message is ignored or comes back.
    error = romeo.inbox.find(lambda s: s.get("id") == "lost")
    assert error is None or error.find(f"{{jabber:client}}error/{STANZAS}service-unavailable") is not None


@scenario
async def an_iq_to_a_resource_that_is_gone_comes_back(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    gone = juliet.jid
    await juliet.close()
    assert await romeo.iq_error("get", "<ping xmlns='urn:xmpp:ping'/>", gone) == "service-unavailable"


@scenario
async def a_forged_sender_is_not_passed_on(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    romeo.send(f"<message from='{juliet.account.jid}' to='{juliet.jid}'><body>forged</body></message>")
    try:
        await juliet.fence(romeo.jid)
        await romeo.fence(juliet.jid)
    except Exception:  # the server may have ended the forger's stream, as RFC 6120 §8.1.2.1 has it
        pass
    juliet.inbox.find(lambda s: s.findtext("{jabber:client}body") == "forged" and s.get("from") == romeo.jid)
    juliet.inbox.no_message("forged")
