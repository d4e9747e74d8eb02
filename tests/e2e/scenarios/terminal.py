"""A person at a terminal: profanity with the other clients."""

from harness.aio import Aio
from harness.certs import Certificates
from harness.people import pair
from harness.profanity import Profanity
from harness.scenario import Stage, scenario
from harness.strophe import Strophe


@scenario
async def profanity_and_slixmpp_talk_in_both_directions(stage: Stage):
    romeo, = await pair(stage, "romeo")
    juliet = await (await Profanity(stage, await stage.account("juliet")).login()).logged_in()
    await juliet.type(f"/msg {romeo.account.jid} typed on a terminal")
    got = await romeo.inbox.message("typed on a terminal", type="chat")
    assert got.get("from").startswith(juliet.account.jid + "/")
    romeo.message(got.get("from"), "read on a terminal")
    await juliet.sees("read on a terminal")
    romeo.message(juliet.account.jid, "also by the bare JID")
    await juliet.sees("also by the bare JID")


@scenario
async def profanity_over_direct_tls_talks_with_libstrophe_and_aioxmpp(stage: Stage):
    juliet = await (await Profanity(stage, await stage.account("juliet"), direct_tls=True).login()).logged_in()
    romeo = await Strophe(stage, await stage.account("romeo")).login()
    nurse = await Aio(stage, await stage.account("nurse")).login()
    await juliet.type(f"/msg {romeo.account.jid} to libstrophe")
    await romeo.inbox.message("to libstrophe")
    romeo.message(juliet.account.jid, "from libstrophe")
    await juliet.sees("from libstrophe")
    await juliet.type(f"/msg {nurse.account.jid} to aioxmpp")
    await nurse.got_message("to aioxmpp")
    await nurse.message(juliet.account.jid, "from aioxmpp")
    await juliet.sees("from aioxmpp")


@scenario
async def two_terminals_subscribe_and_see_each_other(stage: Stage):
    romeo = await (await Profanity(stage, await stage.account("romeo")).login()).logged_in()
    juliet = await (await Profanity(stage, await stage.account("juliet")).login()).logged_in()
    await romeo.type("/presence console all")
    await romeo.type(f"/sub request {juliet.account.jid}")
    await juliet.sees("Received authorization request from")
    await juliet.type(f"/sub allow {romeo.account.jid}")
    await romeo.sees("is online")
    await juliet.type("/status set away")
    await romeo.sees("is away")
    await romeo.type(f"/roster nick {juliet.account.jid} Capulet")
    await romeo.type("/roster")
    await romeo.sees("Capulet")
    await juliet.type("/quit")
    await romeo.sees("is offline")


@scenario
async def a_wrong_password_is_told_to_the_person(stage: Stage):
    romeo = await Profanity(stage, await stage.account("romeo")).login(password="not the password")
    await romeo.sees("Login failed")


@scenario
async def an_untrusted_certificate_is_shown_to_the_person(stage: Stage):
    stranger = Certificates(stage.folder / "stranger", [stage.server.domain])
    romeo = await Profanity(stage, await stage.account("romeo"), ca_folder=stranger.ca_folder).login()
    await romeo.sees("TLS certificate verification failed")
    await romeo.type("/tls deny")
