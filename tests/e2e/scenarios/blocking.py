"""XEP-0191."""

import aioxmpp

from harness.aio import Aio, until
from harness.people import befriend, pair, quiet
from harness.scenario import Stage, scenario
from harness.slix import Slix

NS = "urn:xmpp:blocking"


def block(*jids: str, un: str = "") -> str:
    """The payload that blocks (or with un="un" unblocks) these addresses."""
    return f"<{un}block xmlns='{NS}'>" + "".join(f"<item jid='{jid}'/>" for jid in jids) + f"</{un}block>"


async def blocked(client: Slix) -> set[str]:
    """The list as the server has it."""
    result = await client.iq("get", f"<blocklist xmlns='{NS}'/>")
    return {item.get("jid") for item in result.iter(f"{{{NS}}}item")}


@scenario
async def the_list_is_kept_and_told_to_the_other_resource(stage: Stage):
    account = await stage.account("romeo")
    desk = await Slix(stage, account, "desk").login()
    phone = await Slix(stage, account, "phone").login()
    assert await blocked(desk) == set() == await blocked(phone)
    await desk.iq("set", block("tybalt@example.net", "example.org"))
    push = await phone.inbox.expect("block push", lambda s: s.find(f"{{{NS}}}block") is not None)
    assert {i.get("jid") for i in push.iter(f"{{{NS}}}item")} == {"tybalt@example.net", "example.org"}
    assert await blocked(phone) == {"tybalt@example.net", "example.org"}
    await phone.iq("set", block("example.org", un="un"))
    await desk.inbox.expect("unblock push", lambda s: s.find(f"{{{NS}}}unblock") is not None)
    await phone.close()
    assert await blocked(desk) == {"tybalt@example.net"}
    await desk.iq("set", block(un="un"))
    assert await blocked(desk) == set()


@scenario
async def an_empty_block_is_a_bad_request(stage: Stage):
    romeo, = await pair(stage, "romeo")
    assert await romeo.iq_error("set", block()) == "bad-request"


@scenario
async def nothing_passes_between_a_blocked_contact_and_the_blocker(stage: Stage):
    romeo, tybalt = await pair(stage, "romeo", "tybalt")
    await befriend(romeo, tybalt)
    await romeo.iq("set", block(tybalt.account.jid))
    # §3.3: the contact sees the blocker leave.
    await tybalt.inbox.presence(romeo.jid, "unavailable")
    tybalt.send(f"<message to='{romeo.account.jid}' type='chat' id='t1'><body>en garde</body></message>")
    error = await tybalt.inbox.expect("bounce", lambda s: s.get("id") == "t1" and s.get("type") == "error")
    assert error.find(".//{urn:ietf:params:xml:ns:xmpp-stanzas}service-unavailable") is not None
    assert await tybalt.iq_error("get", "<ping xmlns='urn:xmpp:ping'/>", romeo.jid) == "service-unavailable"
    await tybalt.available(pstatus="not to be seen")
    await romeo.available(pstatus="not to be seen")
    await romeo.settle()
    await tybalt.settle()
    romeo.inbox.no_message("en garde")
    for client in (romeo, tybalt):
        other = tybalt if client is romeo else romeo
        assert client.inbox.find(lambda s: s.get("from") == other.jid
                                 and s.findtext("{jabber:client}status") == "not to be seen") is None


@scenario
async def sending_to_a_blocked_contact_is_not_acceptable(stage: Stage):
    romeo, tybalt = await pair(stage, "romeo", "tybalt")
    await romeo.iq("set", block(tybalt.account.jid))
    romeo.send(f"<message to='{tybalt.jid}' type='chat' id='r1'><body>hm</body></message>")
    error = await romeo.inbox.expect("bounce", lambda s: s.get("id") == "r1" and s.get("type") == "error")
    assert error.find(".//{urn:ietf:params:xml:ns:xmpp-stanzas}not-acceptable") is not None
    assert error.find(".//{urn:xmpp:blocking:errors}blocked") is not None
    await tybalt.settle()
    tybalt.inbox.no_message("hm")


@scenario
async def unblocking_brings_the_presence_back(stage: Stage):
    romeo, tybalt = await pair(stage, "romeo", "tybalt")
    await befriend(romeo, tybalt)
    await romeo.iq("set", block(tybalt.account.jid))
    await tybalt.inbox.presence(romeo.jid, "unavailable")
    while tybalt.inbox.find(lambda s: s.get("from") == romeo.jid):
        pass
    await romeo.iq("set", block(tybalt.account.jid, un="un"))
    await tybalt.inbox.presence(romeo.jid)
    tybalt.message(romeo.account.jid, "pax")
    await romeo.inbox.message("pax")


@scenario
async def a_blocked_domain_blocks_everybody_there(stage: Stage):
    romeo, = await pair(stage, "romeo")
    paris = await Slix(stage, await stage.account("paris", stage.server.second_domain)).login()
    await romeo.iq("set", block(stage.server.second_domain))
    paris.message(romeo.account.jid, "from the blocked domain")
    await paris.inbox.expect("bounce", lambda s: s.get("type") == "error" and s.tag == "{jabber:client}message")
    romeo.inbox.no_message("from the blocked domain")


@scenario
async def a_blocked_sender_leaves_no_offline_message(stage: Stage):
    romeo, tybalt = await pair(stage, "romeo", "tybalt")
    await romeo.iq("set", block(tybalt.account.jid))
    await romeo.close()
    tybalt.message(romeo.account.jid, "read this later")
    await tybalt.settle()
    romeo = await Slix(stage, romeo.account).login()
    await romeo.settle()
    romeo.inbox.no_message("read this later")


@scenario
async def aioxmpp_keeps_its_block_list_in_step_with_another_client(stage: Stage):
    account = await stage.account("romeo")
    romeo = await Aio(stage, account, services=(aioxmpp.BlockingClient,)).login()
    phone = await Slix(stage, account, "phone").login()
    service = romeo[aioxmpp.BlockingClient]
    jid = aioxmpp.JID.fromstr("tybalt@example.net")
    await blocked(phone)
    await service.block_jids([jid])
    await until("the list to hold it", lambda: service.blocklist and jid in service.blocklist)
    await phone.inbox.expect("block push", lambda s: s.find(f"{{{NS}}}block") is not None)
    await phone.iq("set", block(str(jid), un="un"))
    await until("the list to be empty", lambda: not service.blocklist)
    await quiet(phone)
