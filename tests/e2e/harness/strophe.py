"""libstrophe as a client of the scenarios, through the small program `clients/strophe.c`."""

import asyncio
import os
import pathlib
import xml.etree.ElementTree as ET

from .inbox import Inbox
from .scenario import TIMEOUT, Account, Stage
from .slix import LoginRefused


class Strophe:
    """One connection of libstrophe. All that it receives is in `inbox`."""

    def __init__(self, stage: Stage, account: Account, resource: str | None = None, *, direct_tls: bool = False,
                 password: str | None = None, ca_file: pathlib.Path | None = None):
        self.account = account
        self.jid = account.jid + (f"/{resource}" if resource else "")
        self.inbox = Inbox()
        server = stage.server
        self._command = [os.environ["E2E_STROPHE"], self.jid, password or account.password, server.address,
                         str(server.tls_port if direct_tls else server.c2s_port), str(ca_file or server.ca_file),
                         "direct" if direct_tls else "starttls"]
        self._stage = stage
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task | None = None
        self._login: asyncio.Future = asyncio.get_running_loop().create_future()
        stage.joined(self)

    def __str__(self) -> str:
        return f"libstrophe {self.jid}"

    async def login(self, presence: bool = True) -> "Strophe":
        """Connects, logs in and binds; asks for the roster and becomes available if told so."""
        self._stage.folder.mkdir(parents=True, exist_ok=True)
        with open(self._stage.folder / "strophe.log", "ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
                limit=1 << 22)
        self._reader = asyncio.ensure_future(self._read())
        result = await asyncio.wait_for(self._login, TIMEOUT)
        if not result.startswith("CONNECTED "):
            raise LoginRefused(result)
        self.jid = result.split(" ", 1)[1]
        if presence:
            self.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>")
            self.send("<presence/>")
            await self.settle()
        return self

    @property
    def ended(self) -> bool:
        """Whether the connection is gone."""
        return self._reader is None or self._reader.done() or self._process.stdin.is_closing()

    def send(self, xml: str) -> None:
        """Sends a stanza as it stands."""
        self.inbox.note_sent(xml)
        self._process.stdin.write(xml.replace("\n", " ").encode() + b"\n")

    def message(self, to: str, body: str) -> None:
        """Sends a chat message."""
        message = ET.Element("message", {"to": to, "type": "chat"})
        ET.SubElement(message, "body").text = body
        self.send(ET.tostring(message, encoding="unicode"))

    async def iq(self, type_: str, payload: str, to: str | None = None) -> ET.Element:
        """Sends an IQ; returns the answer, result or error."""
        iq = ET.Element("iq", {"type": type_, "id": f"iq-{id(payload)}-{len(self.inbox.log())}"})
        if to:
            iq.set("to", to)
        self.send(ET.tostring(iq, encoding="unicode").replace(" />", f">{payload}</iq>"))
        return await self.inbox.expect(
            f"answer to {payload}", lambda s: s.get("id") == iq.get("id") and s.get("type") in ("result", "error"))

    async def settle(self) -> None:
        """Comes back when the server has answered a ping sent after all before."""
        await self.iq("get", "<ping xmlns='urn:xmpp:ping'/>", self.account.domain)

    async def close(self) -> None:
        """Ends the stream; the program must end by itself."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 5)
        except asyncio.TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reader

    def seen(self) -> str:
        return self.inbox.log()

    async def _read(self) -> None:
        while line := await self._process.stdout.readline():
            text = line.decode().rstrip("\n")
            if text.startswith("STANZA "):
                self.inbox.put(ET.fromstring(f"<stream xmlns='jabber:client'>{text[7:]}</stream>")[0])
            elif not self._login.done():
                self._login.set_result(text)
        if not self._login.done():
            self._login.set_result("the program ended")
