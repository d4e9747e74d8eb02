"""XEP-0401, XEP-0445, XEP-0379: people let others in, and find each other by it."""

import asyncio
import json
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET

from harness.people import pair
from harness.scenario import TIMEOUT, Account, Stage, scenario
from harness.slix import Slix

from .operations import own_server, tercet

ONLY_HERE = ("tercet",)
PARS = "urn:xmpp:pars:0"
REGISTER = "jabber:iq:register"
COMMANDS = "http://jabber.org/protocol/commands"


async def invite(server, *words: str) -> dict:
    """An invitation by `tercet invite`."""
    status, text = await tercet(server, "invite", "create", "--json", *words)
    assert status == 0, text
    return json.loads(text)["invite"]


def page(server, link: str) -> str:
    """The address of a link's page on the test's own network."""
    return f"http://{server.address}:{server.http_port}{urllib.parse.urlsplit(link).path}"


async def fetch(url: str, form: dict | None = None) -> tuple[int, str]:
    """A page, or the answer to its form."""
    def ask():
        data = urllib.parse.urlencode(form).encode() if form else None
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data), timeout=TIMEOUT) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
    return await asyncio.to_thread(ask)


def entries(account: Account) -> dict:
    """What a person enters into the form."""
    return {"username": account.local, "password": account.password, "again": account.password}


@scenario(servers=ONLY_HERE)
async def an_invitation_from_the_command_line_is_opened_in_a_browser_and_lets_in_once(stage: Stage):
    made = await invite(stage.server)
    url = page(stage.server, made["url"])
    status, html = await fetch(url)
    assert status == 200 and made["uri"] in html and "<svg" in html, html
    new = Account(stage.nobody("juliet").jid, "Röslein & Co + 1 %")
    status, html = await fetch(url, entries(new))
    assert status == 201 and new.jid in html, html
    juliet = await Slix(stage, new, "desk").login()
    await juliet.settle()
    other = stage.nobody("nurse")
    assert (await fetch(url, entries(other)))[0] == 404
    assert (await fetch(url))[0] == 404


@scenario(servers=ONLY_HERE)
async def who_is_invited_by_a_contact_sees_that_contact_at_once(stage: Stage):
    romeo, = await pair(stage, "romeo")
    made = await invite(stage.server, "--contact", romeo.account.jid)
    new = stage.nobody("juliet")
    status, html = await fetch(page(stage.server, made["url"]), entries(new))
    assert status == 201 and romeo.account.jid in html, html
    await romeo.inbox.roster_push(new.jid, subscription="both")
    juliet = await Slix(stage, new, "balcony").login()
    roster = await juliet.iq_roster()
    assert roster[romeo.account.jid].get("subscription") == "both", roster
    await juliet.inbox.presence(romeo.jid)
    await romeo.inbox.presence(juliet.jid)


@scenario(servers=ONLY_HERE)
async def a_client_shows_its_token_and_registers_with_the_name_that_is_kept(stage: Stage):
    new = Account(stage.nobody("juliet").jid, "any")
    made = await invite(stage.server, "--user", new.local)
    client = Slix(stage, new, register=True)
    answers = []

    async def ask(type_: str, payload: str) -> ET.Element:
        # slixmpp keeps back what it does not know until the session begins; raw bytes go out.
        number = f"ask-{len(answers)}"
        client.send(f"<iq type='{type_}' id='{number}' to='{new.domain}'>{payload}</iq>")
        answer = await client.inbox.expect(number, lambda s: s.get("id") == number)
        answers.append(next((error.tag.split("}")[1] for error in answer.iterfind(".//{jabber:client}error/*")), "result"))
        return answer

    async def register(_):
        fields = f"<query xmlns='{REGISTER}'><username>{new.local}</username><password>any</password></query>"
        await ask("set", fields)
        await ask("set", f"<preauth xmlns='{PARS}' token='aaaaaaaaaaaaaaaaaaaaaaaa'/>")
        await ask("set", f"<preauth xmlns='{PARS}' token='{made['token']}'/>")
        shown = await ask("get", f"<query xmlns='{REGISTER}'/>")
        assert shown.findtext(f".//{{{REGISTER}}}username") == new.local, ET.tostring(shown)
        await ask("set", fields)

    client.xmpp.add_event_handler("register", register)
    await client.login()
    assert answers == ["conflict", "item-not-found", "result", "result", "result"], answers


@scenario(servers=ONLY_HERE)
async def an_invitation_of_a_user_makes_two_people_contacts_of_each_other(stage: Stage):
    romeo, juliet, nurse = await pair(stage, "romeo", "juliet", "nurse")
    done = await romeo.iq("set", f"<command xmlns='{COMMANDS}' node='urn:xmpp:invite#invite' action='execute'/>",
                          stage.server.domain)
    form = {field.get("var"): field.findtext("{jabber:x:data}value") for field in done.iter("{jabber:x:data}field")}
    assert form["uri"].startswith(f"xmpp:{romeo.account.jid}?roster;preauth="), form
    token = form["uri"].split("preauth=")[1].split(";")[0]
    assert form["landing-url"].endswith(f"/invite/{token}") and form["expire"].endswith("Z"), form
    status, html = await fetch(page(stage.server, form["landing-url"]))
    assert status == 200 and romeo.account.jid in html, html

    request = f"<presence to='{romeo.account.jid}' type='subscribe'><preauth xmlns='{PARS}' token='{token}'/></presence>"
    juliet.presence(romeo.account.jid, "subscribed")
    juliet.send(request)
    await juliet.inbox.presence(romeo.jid)
    await romeo.inbox.presence(juliet.jid)
    await romeo.settle()
    for one, other in ((romeo, juliet), (juliet, romeo)):
        item = (await one.iq_roster())[other.account.jid]
        assert item.get("subscription") == "both" and item.get("ask") is None, ET.tostring(item)

    nurse.send(request)
    await romeo.inbox.presence(nurse.account.jid, "subscribe")


@scenario(servers=ONLY_HERE)
async def what_an_invitation_has_let_in_is_known_after_a_kill(stage: Stage):
    async with own_server(stage) as beside:
        server = beside.server
        server.config.write_text(server.config.read_text().replace('policy = "open"', 'policy = "invite"'))
        server.kill()
        await asyncio.to_thread(server.start)
        made = await invite(server, "--uses", "2")
        url = page(server, made["url"])
        people = [beside.nobody(name) for name in ("juliet", "nurse", "tybalt")]
        for number, account in enumerate(people[:2]):
            status, html = await fetch(url, entries(account))
            assert status == 201, html
            server.kill()
            await asyncio.to_thread(server.start)
            await Slix(beside, account, f"desk-{number}").login()
        assert (await fetch(url, entries(people[2])))[0] == 404
        assert (await fetch(f"http://{server.address}:{server.http_port}/register"))[0] == 403
