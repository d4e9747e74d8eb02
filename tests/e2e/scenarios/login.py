"""Connecting, securing the connection, logging in, binding a resource."""

from harness.aio import Aio
from harness.certs import Certificates
from harness.scenario import Stage, scenario
from harness.slix import LoginRefused, Slix
from harness.strophe import Strophe


async def refusal(login) -> str:
    """What the login is refused with; it must be refused."""
    try:
        await login
    except LoginRefused as refused:
        return str(refused)
    raise AssertionError("the login must be refused")


@scenario
async def slixmpp_logs_in_over_starttls_with_the_certificate_verified(stage: Stage):
    client = await Slix(stage, await stage.account("romeo"), "desk").login()
    assert client.jid.endswith("/desk"), client.jid
    assert client.mechanism.startswith("SCRAM-"), client.mechanism


@scenario
async def slixmpp_logs_in_over_direct_tls(stage: Stage):
    client = await Slix(stage, await stage.account("romeo"), direct_tls=True).login()
    assert "/" in client.jid, "the server must make a resource when none is asked for"


@scenario
async def aioxmpp_logs_in_over_starttls_and_over_direct_tls(stage: Stage):
    account = await stage.account("romeo")
    for direct_tls in (False, True):
        await Aio(stage, account, direct_tls=direct_tls).login()


@scenario
async def libstrophe_logs_in_over_starttls_and_over_direct_tls(stage: Stage):
    account = await stage.account("romeo")
    for direct_tls in (False, True):
        client = await Strophe(stage, account, "desk", direct_tls=direct_tls).login()
        assert client.jid.startswith(f"{account.jid}/"), client.jid


@scenario
async def every_client_refuses_a_certificate_that_its_authorities_did_not_sign(stage: Stage):
    stranger = Certificates(stage.folder / "stranger", [stage.server.domain]).ca_file
    account = await stage.account("romeo")
    for client in (Slix, Aio, Strophe):
        await refusal(client(stage, account, ca_file=stranger).login())


@scenario(servers=("tercet",))
async def aioxmpp_logs_in_with_scram_plus_bound_to_the_certificate(stage: Stage):
    await Aio(stage, await stage.account("romeo"), channel_binding=True).login()


@scenario(servers=("tercet",))
async def slixmpp_logs_in_with_scram_sha_256(stage: Stage):
    client = await Slix(stage, await stage.account("romeo"), mechanism="SCRAM-SHA-256").login()
    assert client.mechanism == "SCRAM-SHA-256", client.mechanism


@scenario(servers=("tercet",))
async def a_client_certificate_opens_the_account_that_it_names_and_no_other(stage: Stage):
    romeo, juliet = await stage.account("romeo"), await stage.account("juliet")
    certificate = stage.server.certificates.for_account(romeo.jid)
    for direct_tls in (False, True):
        client = await Slix(stage, romeo, direct_tls=direct_tls, mechanism="EXTERNAL", certificate=certificate,
                            password="not used").login()
        assert client.mechanism == "EXTERNAL" and client.jid.startswith(romeo.jid + "/"), client.jid
    # XEP-0178 §2: without an authorization id the account is the one that the certificate names.
    client = await Slix(stage, juliet, mechanism="EXTERNAL", certificate=certificate, password="not used").login()
    assert client.jid.startswith(romeo.jid + "/"), client.jid
    stranger = Certificates(stage.folder / "stranger", [stage.server.domain]).for_account(romeo.jid)
    await refusal(Slix(stage, romeo, mechanism="EXTERNAL", certificate=stranger, password="not used").login())


@scenario
async def slixmpp_logs_in_with_scram_sha_1_and_with_plain_inside_tls(stage: Stage):
    account = await stage.account("romeo")
    for mechanism in ("SCRAM-SHA-1", "PLAIN"):
        client = await Slix(stage, account, mechanism=mechanism).login()
        assert client.mechanism == mechanism, client.mechanism


@scenario
async def a_wrong_password_and_an_unknown_user_are_refused_alike(stage: Stage):
    account = await stage.account("romeo")
    wrong = await refusal(Slix(stage, account, password="not the password").login())
    nobody = await refusal(Slix(stage, stage.nobody("nobody")).login())
    assert wrong == nobody and "not-authorized" in wrong, (wrong, nobody)
    for client in (Aio, Strophe):
        await refusal(client(stage, account, password="not the password").login())


@scenario
async def a_lab_server_lets_a_client_in_without_tls(stage: Stage):
    await Slix(stage, await stage.account("romeo"), tls=False, mechanism="SCRAM-SHA-1").login()


@scenario
async def a_second_login_with_the_same_resource_meets_the_conflict_rule(stage: Stage):
    account = await stage.account("romeo")
    first = await Slix(stage, account, "phone").login()
    second = await Slix(stage, account, "phone").login()
    # RFC 6120 §7.7.2.2: the server gives the newcomer another resource, ends the old stream with
    # <conflict/>, or refuses the newcomer; here the newcomer is in, so one of the first two.
    if second.jid == first.jid:
        assert "conflict" in await first.ended()
    else:
        await first.settle()
    await second.settle()


@scenario
async def three_resources_of_one_account_are_there_at_once(stage: Stage):
    account = await stage.account("romeo")
    clients = [await Slix(stage, account, f"r{n}").login() for n in range(3)]
    for client in clients:
        for other in clients:
            await client.fence(other.jid)
