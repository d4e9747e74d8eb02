"""A person at Gajim, on a screen that nobody sees."""

from harness.gajim import Gajim
from harness.omemo import Device
from harness.people import subscribe
from harness.scenario import Stage, scenario
from harness.slix import Slix
from scenarios.omemo import begin, terminal


@scenario(servers=("tercet",), limit=120)
async def gajim_and_slixmpp_talk_in_secret(stage: Stage):
    romeo_account, juliet_account = await stage.account("romeo"), await stage.account("juliet")
    juliet = await Device(stage, juliet_account, "desk").login()
    romeo = await Gajim(stage, romeo_account, encrypted=(juliet_account,)).login()
    await juliet.whisper(romeo_account, "from slixmpp")
    await romeo.hears(juliet_account, "from slixmpp")
    await romeo.says(juliet_account, "from Gajim")
    assert await juliet.hears(romeo_account) == "from Gajim"
    # A second device of the other, and what Gajim itself sends reaches both.
    phone = await Device(stage, juliet_account, "phone").login()
    await phone.whisper(romeo_account, "from the phone")
    await romeo.hears(juliet_account, "from the phone")
    await romeo.says(juliet_account, "to both")
    assert await juliet.hears(romeo_account) == "to both"
    assert await phone.hears(romeo_account) == "to both"


@scenario(servers=("tercet",), limit=120)
async def gajim_and_profanity_talk_in_secret(stage: Stage):
    romeo_account = await stage.account("romeo")
    juliet = await terminal(stage, await stage.account("juliet"))
    romeo = await Gajim(stage, romeo_account, encrypted=(juliet.account,)).login()
    await begin(juliet, romeo_account)
    await juliet.type("typed on a terminal")
    await romeo.hears(juliet.account, "typed on a terminal")
    await romeo.says(juliet.account, "written in a window")
    await juliet.sees("written in a window")


@scenario(servers=("tercet",), limit=120)
async def gajim_has_its_contacts_and_talks_in_the_clear(stage: Stage):
    romeo_account = await stage.account("romeo")
    juliet = await Slix(stage, await stage.account("juliet"), "balcony").login()
    # They know each other from another client of Romeo's.
    other = await Slix(stage, romeo_account, "other").login()
    await subscribe(other, juliet)
    romeo = await Gajim(stage, romeo_account).login()
    await romeo.sees(juliet.account)
    await romeo.says(juliet.account, "hello")
    got = await juliet.inbox.message("hello", type="chat")
    juliet.message(got.get("from"), "hello yourself")
    await romeo.hears(juliet.account, "hello yourself")
