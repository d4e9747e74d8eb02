"""XEP-0077: registering, changing the password, removing the account."""

from slixmpp.exceptions import IqError

from harness.people import befriend, full_name, pair
from harness.scenario import TIMEOUT, Account, Stage, scenario
from harness.slix import LoginRefused, Slix

REGISTER = "jabber:iq:register"


async def refused(login) -> bool:
    """Whether the login is refused."""
    try:
        await login
    except LoginRefused:
        return True
    return False


@scenario
async def a_stranger_registers_an_account_and_logs_in(stage: Stage):
    new = Account(stage.nobody("mercutio").jid, "Queen Mab")
    client = Slix(stage, new, register=True)
    answers = []

    async def register(form):
        assert form["register"].xml.find(f"{{{REGISTER}}}username") is not None
        for _ in range(2):
            iq = client.xmpp.make_iq_set(ito=new.domain)
            iq["register"]["username"] = new.local
            iq["register"]["password"] = new.password
            try:
                await iq.send(timeout=TIMEOUT)
                answers.append("registered")
            except IqError as error:
                answers.append(error.condition)

    client.xmpp.add_event_handler("register", register)
    await client.login()
    assert answers == ["registered", "conflict"], answers


@scenario
async def without_rates_a_tool_registers_many_accounts_over_one_stream(stage: Stage):
    first = Account(stage.nobody("first").jid, "any")
    client = Slix(stage, first, register=True)
    made = []

    async def register(_):
        for name in [*(f"tool-{n}" for n in range(25)), "first"]:
            iq = client.xmpp.make_iq_set(ito=first.domain)
            iq["register"]["username"] = stage.nobody(name).local
            iq["register"]["password"] = first.password
            await iq.send(timeout=TIMEOUT)
            made.append(name)

    client.xmpp.add_event_handler("register", register)
    await client.login()
    assert len(made) == 26, made


@scenario
async def the_password_is_changed_and_only_the_new_one_opens(stage: Stage):
    account = await stage.account("romeo")
    romeo = await Slix(stage, account).login()
    form = await romeo.iq("get", f"<query xmlns='{REGISTER}'/>", account.domain)
    assert form.find(f".//{{{REGISTER}}}registered") is not None
    await romeo.iq("set", f"<query xmlns='{REGISTER}'><username>{account.local}</username>"
                          "<password>néw pässword</password></query>", account.domain)
    await romeo.close()
    assert await refused(Slix(stage, account).login()), "the old password must be refused"
    await Slix(stage, account, password="néw pässword").login()


@scenario
async def nobody_changes_the_password_of_another(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    await romeo.iq_error("set", f"<query xmlns='{REGISTER}'><username>{juliet.account.local}</username>"
                                "<password>stolen</password></query>", stage.server.domain)
    await Slix(stage, juliet.account, "again").login()
    assert await refused(Slix(stage, juliet.account, password="stolen").login())


@scenario
async def a_removed_account_is_gone_with_all_that_it_had(stage: Stage):
    account = await stage.account("romeo")
    romeo = await Slix(stage, account, "desk").login()
    phone = await Slix(stage, account, "phone").login()
    juliet, = await pair(stage, "juliet")
    await befriend(romeo, juliet)
    await romeo.iq("set", "<vCard xmlns='vcard-temp'><FN>Romeo</FN></vCard>")
    romeo.send(f"<iq type='set' id='gone' to='{account.domain}'><query xmlns='{REGISTER}'><remove/></query></iq>")
    await romeo.inbox.expect("result of the removal", lambda s: s.get("id") == "gone" and s.get("type") == "result")
    await romeo.ended()
    await phone.ended()
    await juliet.inbox.presence(romeo.jid, "unavailable")
    assert await refused(Slix(stage, account).login()), "a removed account must not open"
    await stage.server.add_user(account.jid, account.password)
    reborn = await Slix(stage, account).login()
    assert await reborn.iq_roster() == {}
    assert await full_name(reborn) is None
