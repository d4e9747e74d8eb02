"""The first minutes of a new user: no configuration, an empty folder, the commands that are printed."""

import asyncio
import pathlib
import re
import shlex
import subprocess
import time

from harness.aio import Aio
from harness.certs import hashed_folder
from harness.profanity import Profanity
from harness.scenario import Account, Stage, scenario
from harness.servers import START_SECONDS, Server, ServerFailed, all_free
from harness.slix import LoginRefused, Slix
from harness.strophe import Strophe

PORTS_FREE_SECONDS = 60


class Untouched(Server):
    """The server as `cargo run --release` starts it: no argument, no file, an empty folder."""

    name = "tercet"
    domain = "localhost"

    def __init__(self, binary: pathlib.Path, folder: pathlib.Path):
        folder.mkdir(parents=True)
        self.folder, self.binary, self.address = folder, binary, "127.0.0.1"
        self.log_file = folder.parent / "first-use.log"
        self.process = None
        self.printed = ""

    def start(self) -> None:
        self.process = self._spawn([str(self.binary)], None, cwd=self.folder)
        self._wait_for_port(self.tls_port)

    def add_user_command(self, jid: str, password: str, admin: bool) -> list[str]:
        """The command line that the server prints, with the address in it replaced."""
        line = next((l for l in self.printed.splitlines() if "user add" in l), None)
        assert line, f"no command for the first account is printed:\n{self.printed}"
        words = shlex.split(line[line.index("user add"):].replace("`", " "))
        return [str(self.binary), *("user", "add"), jid, *(w for w in words[3:] if w.startswith("-"))]

    def add_user_typed(self, jid: str, password: str) -> None:
        """Runs the printed command in the folder, the password typed in."""
        done = subprocess.run(self.add_user_command(jid, password, False), cwd=self.folder, text=True,
                              input=f"{password}\n{password}\n", capture_output=True, timeout=30)
        if done.returncode:
            raise ServerFailed(f"the printed command failed:\n{done.stdout}{done.stderr}")

    def read_printed(self) -> None:
        """Takes what was printed, and from it the path of the authority's certificate."""
        self.printed = re.sub(r"\x1b\[[0-9;]*m", "", self.log_file.read_text())
        named = re.search(r"[^\s`'\"=]*\.(?:crt|pem)\b", self.printed)
        assert named, f"no path of the authority's certificate is printed:\n{self.printed}"
        self.ca_file = (self.folder / named.group()).resolve()
        self.ca_folder = hashed_folder(self.ca_file, self.folder.parent / "first-use-trusted")


@scenario(servers=("tercet",), limit=150.0)
async def without_configuration_two_people_talk_within_a_minute(stage: Stage):
    await ports_free()
    server = Untouched(stage.server.binary, stage.folder / "empty")
    began = time.monotonic()
    server.start()
    try:
        await asyncio.sleep(0.2)
        server.read_printed()
        stage.note(f"listening after {time.monotonic() - began:.2f} s\n{server.printed}")
        people = [Account("romeo@localhost", "rose"), Account("juliet@localhost", "thorn")]
        for person in people:
            await asyncio.to_thread(server.add_user_typed, person.jid, person.password)
        beside = Stage(server, stage.folder)
        try:
            await conversation(beside, *people)
        except Exception:
            stage.note(beside.dialogue())
            raise
        finally:
            await beside.close()
        server.stop()
    finally:
        server.kill()
        stage.note(server.log_tail())


async def conversation(stage: Stage, romeo: Account, juliet: Account):
    """slixmpp with profanity, libstrophe and aioxmpp, over both ports and both address families."""
    slix = await Slix(stage, romeo).login()
    terminal = await (await Profanity(stage, juliet).login()).logged_in()
    await terminal.type(f"/msg {romeo.jid} is anybody there?")
    got = await slix.inbox.message("is anybody there?")
    slix.message(got.get("from"), "yes, over a fresh server")
    await terminal.sees("yes, over a fresh server")
    await terminal.close()
    await by_the_readme(stage, romeo, juliet)
    library = await Strophe(stage, juliet, "library", direct_tls=True).login()
    library.message(slix.jid, "and over direct TLS")
    await slix.inbox.message("and over direct TLS", from_=library.jid)
    await (await Aio(stage, juliet, "aio").login()).message(slix.jid, "and from aioxmpp")
    await slix.inbox.message("and from aioxmpp")
    stage.server.address = "::1"
    six = await Slix(stage, juliet, "six").login()
    six.message(slix.jid, "and over IPv6")
    await slix.inbox.message("and over IPv6", from_=six.jid)
    plain = Slix(stage, romeo, "plain", tls=False, mechanism="SCRAM-SHA-1")
    try:
        await plain.login()
    except (LoginRefused, TimeoutError):
        return
    raise AssertionError("without configuration, nobody logs in without TLS")


async def by_the_readme(stage: Stage, *people: Account):
    """The lines for profanity in README.md, typed as they stand there."""
    text = (pathlib.Path(__file__).parents[3] / "README.md").read_text()
    connect, *lines = re.findall(r"^/.*", text, re.MULTILINE)
    writer, reader = sorted(people, key=lambda person: person.jid not in connect)
    listening = await Slix(stage, reader, "reader").login(priority=9)
    terminal = await (await Profanity(stage, writer).login(line=connect)).logged_in()
    for line in lines:
        await terminal.type(line)
    said = next(line.split(" ", 2)[2] for line in lines if line.startswith("/msg"))
    await listening.inbox.message(said)
    await listening.inbox.presence(writer.jid, "subscribe")
    await terminal.close()
    await listening.close()


async def ports_free():
    """Waits until nothing else uses the standard client ports."""
    for _ in range(PORTS_FREE_SECONDS * 2):
        if all_free("127.0.0.1") and all_free("::1"):
            return
        await asyncio.sleep(0.5)
    raise AssertionError("another program holds the standard ports of 127.0.0.1 or ::1")
