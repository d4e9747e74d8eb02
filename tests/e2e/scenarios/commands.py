"""XEP-0050 and XEP-0133: an administrator's commands."""

from harness.people import pair
from harness.scenario import Account, Stage, scenario
from harness.servers import ADMIN
from harness.slix import Slix

COMMANDS = "http://jabber.org/protocol/commands"
ADMIN_NODE = "http://jabber.org/protocol/admin"
DATA = "{jabber:x:data}"


def admin(stage: Stage) -> Account:
    """The administrator that every server of these tests has."""
    return Account(f"{ADMIN[0]}@{stage.server.domain}", ADMIN[1])


async def run(client: Slix, command: str, answers: dict[str, list[str]]):
    """Runs a command of two steps: opens it, fills in its form, returns the answer's command element."""
    server = client.account.domain
    opened = (await client.iq("set", f"<command xmlns='{COMMANDS}' node='{ADMIN_NODE}#{command}' action='execute'/>",
                              server)).find(f"{{{COMMANDS}}}command")
    assert opened.get("status") == "executing", opened.get("status")
    offered = {f.get("var") for f in opened.iter(f"{DATA}field")}
    assert set(answers) <= offered, (set(answers), offered)
    fields = "".join(f"<field var='{var}'>" + "".join(f"<value>{v}</value>" for v in values) + "</field>"
                     for var, values in {"FORM_TYPE": [ADMIN_NODE], **answers}.items())
    done = await client.iq("set", f"<command xmlns='{COMMANDS}' node='{ADMIN_NODE}#{command}' "
                                  f"sessionid='{opened.get('sessionid')}'>"
                                  f"<x xmlns='jabber:x:data' type='submit'>{fields}</x></command>", server)
    return done.find(f"{{{COMMANDS}}}command")


@scenario
async def the_administrator_sees_the_commands_and_others_do_not(stage: Stage):
    boss = await Slix(stage, admin(stage), "list").login()
    romeo, = await pair(stage, "romeo")
    query = f"<query xmlns='http://jabber.org/protocol/disco#items' node='{COMMANDS}'/>"

    async def nodes(client):
        items = await client.iq("get", query, stage.server.domain)
        return {i.get("node") for i in items.iter("{http://jabber.org/protocol/disco#items}item")}

    wanted = {f"{ADMIN_NODE}#{name}" for name in ("add-user", "delete-user", "announce")}
    assert wanted <= await nodes(boss), await nodes(boss)
    assert not wanted & await nodes(romeo)


@scenario
async def the_administrator_adds_and_deletes_a_user(stage: Stage):
    boss = await Slix(stage, admin(stage), "add").login()
    new = Account(stage.nobody("benvolio").jid, "peace")
    done = await run(boss, "add-user", {"accountjid": [new.jid], "password": [new.password],
                                        "password-verify": [new.password]})
    assert done.get("status") == "completed"
    benvolio = await Slix(stage, new).login()
    done = await run(boss, "delete-user", {"accountjids": [new.jid]})
    assert done.get("status") == "completed"
    await benvolio.ended()


@scenario
async def slixmpp_drives_the_add_user_command_with_its_own_plugin(stage: Stage):
    boss = await Slix(stage, admin(stage), "plugin").login()
    new = Account(stage.nobody("nurse").jid, "Angelica")
    opened = await boss.xmpp["xep_0050"].send_command(stage.server.domain, f"{ADMIN_NODE}#add-user")
    assert opened["command"]["status"] == "executing"
    form = boss.xmpp["xep_0004"].make_form(ftype="submit")
    for var, value in (("FORM_TYPE", ADMIN_NODE), ("accountjid", new.jid), ("password", new.password),
                       ("password-verify", new.password)):
        form.add_field(var=var, value=value)
    done = await boss.xmpp["xep_0050"].send_command(
        stage.server.domain, f"{ADMIN_NODE}#add-user", action="complete", payload=form.xml,
        sessionid=opened["command"]["sessionid"])
    assert done["command"]["status"] == "completed"
    await Slix(stage, new).login()


@scenario
async def an_ordinary_user_may_not_run_an_administrators_command(stage: Stage):
    romeo, = await pair(stage, "romeo")
    condition = await romeo.iq_error(
        "set", f"<command xmlns='{COMMANDS}' node='{ADMIN_NODE}#add-user' action='execute'/>", stage.server.domain)
    assert condition in ("forbidden", "not-allowed", "item-not-found"), condition


@scenario
async def an_announcement_reaches_who_is_online(stage: Stage):
    boss = await Slix(stage, admin(stage), "announce").login()
    romeo, juliet = await pair(stage, "romeo", "juliet")
    done = await run(boss, "announce", {"announcement": ["The feast begins"]})
    assert done.get("status") == "completed"
    for client in (romeo, juliet):
        await client.inbox.message("The feast begins")
