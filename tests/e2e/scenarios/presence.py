"""RFC 6121 §4: presence of several resources, probes, directed presence."""

from harness.people import befriend, pair, quiet
from harness.scenario import Stage, scenario
from harness.slix import Slix


@scenario
async def a_contact_sees_each_resource_come_and_go_with_its_priority(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    await befriend(romeo, juliet)
    phone = await Slix(stage, juliet.account, "phone").login(priority=7)
    seen = await romeo.inbox.presence(phone.jid)
    assert seen.findtext("{jabber:client}priority") == "7"
    await juliet.inbox.presence(phone.jid)
    await phone.close()
    await romeo.inbox.presence(phone.jid, "unavailable")
    romeo.inbox.no_presence(juliet.jid, "unavailable")


@scenario
async def who_logs_in_sees_the_contacts_that_are_there(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    await befriend(romeo, juliet)
    await juliet.available(pstatus="still here")
    phone = await Slix(stage, romeo.account, "phone").login()
    await phone.inbox.presence(juliet.jid, status="still here")


@scenario
async def a_connection_cut_without_a_word_is_seen_as_unavailable(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    await befriend(romeo, juliet)
    juliet.cut()
    await romeo.inbox.presence(juliet.jid, "unavailable")


@scenario
async def directed_presence_reaches_a_stranger_and_ends_with_the_session(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    romeo.presence(juliet.jid)
    await juliet.inbox.presence(romeo.jid)
    await romeo.close()
    await juliet.inbox.presence(romeo.jid, "unavailable")


@scenario
async def a_stranger_sees_no_presence(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    romeo.presence(juliet.account.jid, "probe")
    await romeo.available(pstatus="not for strangers")
    await quiet(romeo, juliet)
    juliet.inbox.no_presence(romeo.jid)
    romeo.inbox.no_presence(juliet.jid)


@scenario
async def a_resource_of_negative_priority_gets_no_message_to_the_bare_jid(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    shy = await Slix(stage, juliet.account, "shy").login(priority=-1)
    romeo.message(juliet.account.jid, "for the open ones")
    await juliet.inbox.message("for the open ones")
    await quiet(romeo, juliet, shy)
    shy.inbox.no_message("for the open ones")
    romeo.message(shy.jid, "for the shy one")
    await shy.inbox.message("for the shy one")
