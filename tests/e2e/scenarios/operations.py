"""What an administrator does at the machine: commands, signals, faulty files. Each with a server of its own."""

import asyncio
import contextlib
import itertools
import os
import pathlib
import signal
import ssl
import subprocess
import tempfile

from harness.aio import until
from harness.certs import Certificates
from harness.scenario import Account, Stage, scenario
from harness.servers import Tercet, free_address
from harness.slix import LoginRefused, Slix

ONLY_HERE = ("tercet",)


@contextlib.asynccontextmanager
async def own_server(stage: Stage, start: bool = True):
    """A stage with a server that nobody else uses."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tercet-own-", dir=stage.server.folder.parent))
    server = stage.server.another(folder, free_address(next(_addresses)))
    if start:
        await asyncio.to_thread(server.start)
    beside = Stage(server, stage.folder)
    try:
        yield beside
    except Exception:
        stage.note(beside.dialogue() + "\n" + server.log_tail())
        raise
    finally:
        await beside.close()
        server.kill()


_addresses = itertools.count(60)


async def tercet(server: Tercet, *words: str, typed: str = "") -> tuple[int, str]:
    """Runs a command of the server's binary with its configuration; returns status and all it printed."""
    done = await asyncio.to_thread(
        subprocess.run, [str(server.binary), "--config", str(server.config), *words], input=typed,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)
    return done.returncode, done.stdout


async def opens(stage: Stage, account: Account) -> bool:
    """Whether the account can log in."""
    try:
        await Slix(stage, account).login()
        return True
    except LoginRefused:
        return False


@scenario(servers=ONLY_HERE)
async def accounts_are_made_before_the_start_and_after_it(stage: Stage):
    async with own_server(stage, start=False) as beside:
        server = beside.server
        early, late = Account(f"early@{server.domain}", "one"), Account(f"late@{server.domain}", "two")
        await server.add_user(early.jid, early.password)
        await asyncio.to_thread(server.start)
        await server.add_user(late.jid, late.password)
        assert await opens(beside, early) and await opens(beside, late)
        status, text = await tercet(server, "user", "add", early.jid, "--password", "other")
        assert status != 0, "an account is not made twice"
        assert await opens(beside, early)


@scenario(servers=ONLY_HERE)
async def the_command_line_lists_changes_and_deletes_accounts_while_the_server_runs(stage: Stage):
    async with own_server(stage) as beside:
        server = beside.server
        account = await beside.account("romeo")
        for words in (("user", "list"), ("user", "list", "--json"), ("user", "show", account.jid)):
            status, text = await tercet(server, *words)
            assert status == 0 and account.jid in text, (words, text)
        client = await Slix(beside, account).login()
        status, text = await tercet(server, "user", "password", account.jid, typed="new one\nnew one\n")
        assert status == 0, text
        assert not await opens(beside, account)
        changed = Account(account.jid, "new one")
        assert await opens(beside, changed)
        status, text = await tercet(server, "user", "delete", account.jid)
        assert status == 0, text
        assert not await opens(beside, changed)
        await client.ended()
        status, _ = await tercet(server, "user", "show", account.jid)
        assert status != 0


@scenario(servers=ONLY_HERE)
async def sigterm_tells_the_clients_and_keeps_what_was_sent(stage: Stage):
    async with own_server(stage) as beside:
        romeo = await Slix(beside, await beside.account("romeo")).login()
        absent = await beside.account("juliet")
        for number in range(50):
            romeo.message(absent.jid, f"letter {number}")
        await romeo.settle()
        stopping = asyncio.ensure_future(asyncio.to_thread(beside.server.stop))
        assert "system-shutdown" in await romeo.ended()
        await stopping
        await asyncio.to_thread(beside.server.start)
        juliet = await Slix(beside, absent).login()
        for number in range(50):
            await juliet.inbox.message(f"letter {number}")


@scenario(servers=ONLY_HERE)
async def sighup_takes_a_renewed_certificate_and_leaves_the_connected_alone(stage: Stage):
    async with own_server(stage) as beside:
        server = beside.server
        account = await beside.account("romeo")
        romeo = await Slix(beside, account, "old").login()
        before = await asyncio.to_thread(shown_certificate, server)
        renewed = Certificates(server.folder / "renewed", [server.domain, server.second_domain])
        server.certificates.chain.write_bytes(renewed.chain.read_bytes())
        server.certificates.key.write_bytes(renewed.key.read_bytes())
        os.kill(server.process.pid, signal.SIGHUP)
        for _ in range(100):
            if await asyncio.to_thread(shown_certificate, server) != before:
                break
            await asyncio.sleep(0.05)
        await Slix(beside, account, "new", ca_file=renewed.ca_file).login()
        await romeo.settle()


def shown_certificate(server: Tercet) -> str:
    """The certificate that the server shows on the port for direct TLS."""
    return ssl.get_server_certificate((server.address, server.tls_port))


@scenario(servers=ONLY_HERE)
async def a_faulty_reload_changes_nothing(stage: Stage):
    async with own_server(stage) as beside:
        server = beside.server
        account = await beside.account("romeo")
        romeo = await Slix(beside, account, "old").login()
        server.config.write_text(server.config.read_text() + "\n[limitz]\nrates = 7\n")
        os.kill(server.process.pid, signal.SIGHUP)
        await until("a word about the fault in the log", lambda: "limitz" in server.log_tail())
        await romeo.settle()
        await Slix(beside, account, "new").login()


@scenario(servers=ONLY_HERE)
async def faults_in_the_configuration_are_all_named_and_the_status_is_2(stage: Stage):
    async with own_server(stage, start=False) as beside:
        server = beside.server
        lines = server.config.read_text()
        server.config.write_text(lines.replace("policy = ", "polcy = ").replace("rates = false", "rates = 7"))
        for command in ("serve", "check"):
            status, text = await tercet(server, command)
            assert status == 2, (command, status, text)
            for named in ("polcy", "policy", "rates", server.config.name):
                assert named in text, (command, named, text)


@scenario(servers=ONLY_HERE)
async def a_second_server_on_the_same_folder_or_port_says_so_and_ends(stage: Stage):
    async with own_server(stage) as beside:
        status, text = await tercet(beside.server, "serve")
        assert status not in (0, 101), text
        assert "panicked" not in text and len(text.splitlines()) < 20, text
        assert beside.server.process.poll() is None
        assert await opens(beside, await beside.account("romeo"))


@scenario(servers=ONLY_HERE)
async def without_tls_nobody_logs_in_unless_the_laboratory_says_so(stage: Stage):
    async with own_server(stage, start=False) as beside:
        server = beside.server
        server.config.write_text(server.config.read_text().replace("required    = false", "required = true"))
        await asyncio.to_thread(server.start)
        account = await beside.account("romeo")
        assert await opens(beside, account)
        plain = Slix(beside, account, tls=False, mechanism="SCRAM-SHA-1")
        try:
            await plain.login()
        except (LoginRefused, TimeoutError):
            return
        raise AssertionError("a login without TLS must be refused")


@scenario(servers=ONLY_HERE)
async def where_strangers_are_let_in_each_gets_an_address_for_the_session(stage: Stage):
    async with own_server(stage, start=False) as beside:
        server = beside.server
        server.config.write_text(server.config.read_text().replace("[archive]", "[login]\nanonymous = true\n\n[archive]"))
        await asyncio.to_thread(server.start)
        guests = [Slix(beside, Account(server.domain, ""), mechanism="ANONYMOUS") for _ in range(2)]
        for guest in guests:
            guest.account = Account(f"guest@{server.domain}", "")
            await guest.login()
        first, second = guests
        assert first.jid.split("/")[0] != second.jid.split("/")[0], (first.jid, second.jid)
        first.message(second.jid, "who are you?")
        await second.inbox.message("who are you?", from_=first.jid)
        gone = first.jid
        await first.close()
        assert await second.iq_error("get", "<ping xmlns='urn:xmpp:ping'/>", gone) == "service-unavailable"
