"""Several domains on one server."""

from harness.people import befriend, pair
from harness.scenario import Stage, scenario
from harness.slix import LoginRefused, Slix
from harness.strophe import Strophe


@scenario
async def people_of_two_domains_talk_and_see_each_other(stage: Stage):
    romeo, = await pair(stage, "romeo")
    paris = await Slix(stage, await stage.account("paris", stage.server.second_domain), "hall").login()
    await befriend(romeo, paris)
    romeo.message(paris.account.jid, "across")
    await paris.inbox.message("across", from_=romeo.jid)
    paris.message(romeo.jid, "and back")
    await romeo.inbox.message("and back", from_=paris.jid)
    await romeo.fence(paris.jid)


@scenario
async def the_same_name_on_two_domains_is_two_accounts(stage: Stage):
    one = await stage.account("rosaline")
    other = await stage.account("rosaline", stage.server.second_domain)
    first = await Slix(stage, one).login()
    second = await Strophe(stage, other).login()
    await first.iq("set", "<vCard xmlns='vcard-temp'><FN>One</FN></vCard>")
    card = await second.iq("get", "<vCard xmlns='vcard-temp'/>")
    assert card.findtext(".//{vcard-temp}FN") is None
    second.message(one.jid, "hello, namesake")
    await first.inbox.message("hello, namesake", from_=second.jid)


@scenario
async def each_domain_answers_for_itself(stage: Stage):
    romeo, = await pair(stage, "romeo")
    await romeo.iq("get", "<ping xmlns='urn:xmpp:ping'/>", stage.server.second_domain)
    try:
        await Slix(stage, stage.nobody("romeo", stage.server.second_domain)).login()
    except LoginRefused:
        return
    raise AssertionError("an account of one domain must not open on the other")
