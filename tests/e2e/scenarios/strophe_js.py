"""strophe.js, over BOSH and over WebSocket."""

from harness.people import pair, subscribe
from harness.scenario import Stage, scenario
from harness.slix import LoginRefused
from harness.web import StropheJs

WAYS = ("bosh", "websocket")


@scenario(servers=("tercet",))
async def strophe_js_talks_in_both_directions_either_way(stage: Stage):
    romeo, = await pair(stage, "romeo")
    for by in WAYS:
        juliet = await StropheJs(stage, await stage.account(f"juliet-{by}"), by).login()
        for turn in range(3):
            romeo.message(juliet.jid, f"to strophe.js <{turn}> & 🌹")
            await juliet.inbox.message(f"to strophe.js <{turn}> & 🌹", from_=romeo.jid)
            juliet.message(romeo.jid, f"from strophe.js <{turn}> & 🌹")
            await romeo.inbox.message(f"from strophe.js <{turn}> & 🌹", from_=juliet.jid)


@scenario(servers=("tercet",))
async def strophe_js_over_bosh_and_over_websocket_talk_to_each_other(stage: Stage):
    romeo, juliet = [await StropheJs(stage, await stage.account(by), by).login() for by in WAYS]
    for number in range(20):
        romeo.message(juliet.jid, f"{number}")
        juliet.message(romeo.jid, f"{number}")
    for one in romeo, juliet:
        came = [await one.inbox.expect("a message", lambda stanza: stanza.tag.endswith("message")) for _ in range(20)]
        assert [stanza.findtext("{jabber:client}body") for stanza in came] == [str(number) for number in range(20)]


@scenario(servers=("tercet",))
async def strophe_js_sees_contacts_and_keeps_its_roster(stage: Stage):
    for by in WAYS:
        romeo, nurse = await pair(stage, f"romeo-{by}", f"nurse-{by}")
        await subscribe(nurse, romeo)
        juliet = await StropheJs(stage, nurse.account, by).login()
        await juliet.inbox.presence(romeo.jid)
        answer = await juliet.iq("get", "<query xmlns='jabber:iq:roster'/>")
        items = answer.iter("{jabber:iq:roster}item")
        assert [(item.get("jid"), item.get("subscription")) for item in items] == [(romeo.account.jid, "to")]
        romeo.send("<presence><status>away</status></presence>")
        await juliet.inbox.presence(romeo.jid, None, "away")


@scenario(servers=("tercet",))
async def strophe_js_is_refused_with_a_wrong_password(stage: Stage):
    for by in WAYS:
        try:
            await StropheJs(stage, await stage.account(f"romeo-{by}"), by, password="wrong").login()
        except LoginRefused as refused:
            assert "AUTHFAIL" in str(refused), refused
        else:
            raise AssertionError("logged in")


@scenario(servers=("tercet",))
async def a_page_that_is_loaded_again_goes_on_with_its_session(stage: Stage):
    romeo, nurse = await pair(stage, "romeo", "nurse")
    await subscribe(romeo, nurse)
    juliet = await StropheJs(stage, nurse.account).login()
    await romeo.inbox.presence(juliet.jid)
    for how in ("reload", "attach", "reload"):
        await juliet.reload(how)
        romeo.message(juliet.jid, f"after {how}")
        await juliet.inbox.message(f"after {how}", from_=romeo.jid)
        juliet.message(romeo.jid, f"still here after {how}")
        await romeo.inbox.message(f"still here after {how}", from_=juliet.jid)
    romeo.inbox.no_presence(juliet.jid, "unavailable")


@scenario(servers=("tercet",))
async def strophe_js_gets_the_answers_that_were_lost(stage: Stage):
    romeo, = await pair(stage, "romeo")
    juliet = await StropheJs(stage, await stage.account("juliet")).login()
    for turn in range(3):
        juliet.lose(1)
        romeo.message(juliet.jid, f"lost {turn}")
        juliet.message(romeo.jid, f"said {turn}")
        await juliet.inbox.message(f"lost {turn}", from_=romeo.jid)
        await romeo.inbox.message(f"said {turn}", from_=juliet.jid)
    await juliet.settle()
    await romeo.fence(romeo.jid)
    for turn in range(3):
        juliet.inbox.no_message(f"lost {turn}")
        romeo.inbox.no_message(f"said {turn}")


@scenario(servers=("tercet",))
async def strophe_js_leaves_in_good_order(stage: Stage):
    romeo, nurse = await pair(stage, "romeo", "nurse")
    await subscribe(romeo, nurse)
    for by in WAYS:
        juliet = await StropheJs(stage, nurse.account, by).login()
        await romeo.inbox.presence(juliet.jid)
        await juliet.close()
        await romeo.inbox.presence(juliet.jid, "unavailable")
