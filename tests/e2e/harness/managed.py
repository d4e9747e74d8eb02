"""A thin client that acknowledges and resumes (XEP-0198), and whose connection is cut where a test wants."""

import asyncio
import base64
import collections
import ssl
import xml.etree.ElementTree as ET

from .scenario import TIMEOUT, Account, Stage

SM = "urn:xmpp:sm:3"
CLIENT = "{jabber:client}"
HEADER = ("<stream:stream to='{}' version='1.0' xmlns='jabber:client'"
          " xmlns:stream='http://etherx.jabber.org/streams'>")


class Cut(Exception):
    """The connection is gone."""


class Managed:
    """A session over any number of connections. Stanzas that come are in `stanzas`, each once."""

    def __init__(self, stage: Stage, account: Account, resource: str):
        self.account, self.resource, self.jid, self.id = account, resource, "", ""
        self.stanzas: list[ET.Element] = []
        #: What was sent and not acknowledged, and how much was.
        self.unacknowledged: collections.deque[str] = collections.deque()
        self.acknowledged = 0
        self.resumptions = 0
        self._stage, self._handled = stage, 0
        self._context = ssl.create_default_context(cafile=str(stage.server.ca_file))
        self._writer = self._task = None
        self._budget: int | None = None
        self._news = asyncio.Event()
        self.failure: BaseException | None = None
        stage.joined(self)

    def __str__(self) -> str:
        return f"managed {self.jid}"

    async def login(self, available: bool = True) -> "Managed":
        """A new session that can be resumed."""
        await self._authenticate()
        self._write(f"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                    f"<resource>{self.resource}</resource></bind></iq>")
        bound = await self._next()
        self.jid = bound.find(".//{urn:ietf:params:xml:ns:xmpp-bind}jid").text
        self._write(f"<enable xmlns='{SM}' resume='true'/>")
        enabled = await self._next()
        assert enabled.tag == f"{{{SM}}}enabled" and enabled.get("resume") == "true", ET.tostring(enabled)
        self.id = enabled.get("id")
        self._listen()
        if available:
            self.send("<presence/>")
            await self.until(lambda: self.stanzas and self.stanzas[0].tag == CLIENT + "presence")
            self.stanzas.clear()
        return self

    async def resume(self) -> None:
        """The session goes on over a new connection."""
        await self._authenticate()
        self._write(f"<resume xmlns='{SM}' previd='{self.id}' h='{self._handled}'/>")
        resumed = await self._next()
        assert resumed.tag == f"{{{SM}}}resumed", ET.tostring(resumed)
        assert resumed.get("previd") == self.id, ET.tostring(resumed)
        self.resumptions += 1
        self._acknowledge(int(resumed.get("h")))
        for stanza in list(self.unacknowledged):
            self._write(stanza)
        self._listen()

    def send(self, stanza: str) -> None:
        """Sends a stanza, now or when there is a connection again."""
        self.unacknowledged.append(stanza)
        if self._task is not None and not self._task.done():
            try:
                self._write(stanza + (f"<r xmlns='{SM}'/>" if len(self.unacknowledged) % 3 == 0 else ""))
            except Cut:
                pass

    def message(self, to: str, body: str) -> None:
        self.send(f"<message to='{to}' type='chat'><body>{body}</body></message>")

    def ask(self) -> None:
        """Asks what was handled."""
        self._write(f"<r xmlns='{SM}'/>")

    def bodies(self) -> list[str]:
        """Of messages to it; what administrators announce to all, in scenarios beside, is none."""
        return [m.findtext(CLIENT + "body") for m in self.stanzas
                if m.tag == CLIENT + "message" and m.get("type") != "headline"]

    def forget(self) -> None:
        """What has come since the last acknowledgement counts as never heard."""
        self._handled -= len(self.stanzas)
        self.stanzas.clear()

    def cut_after(self, bytes_: int) -> None:
        """Lets the connection end after so many more bytes in both directions, in the middle of whatever it is."""
        self._budget = bytes_

    async def cut(self) -> None:
        """Cuts it now, without a word."""
        self._writer.transport.abort()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def was_cut(self) -> None:
        """Waits for the end of the connection."""
        await asyncio.wait_for(asyncio.wait([self._task]), TIMEOUT)

    async def until(self, true) -> None:
        """Waits until something holds."""
        async def wait():
            while not true():
                self._news.clear()
                await self._news.wait()
        await asyncio.wait_for(wait(), TIMEOUT)

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        if self._task is not None:
            await asyncio.wait([self._task])

    def seen(self) -> str:
        return "\n".join(ET.tostring(stanza, "unicode") for stanza in self.stanzas[-20:])

    async def _authenticate(self) -> None:
        server = self._stage.server
        self._budget = None
        self._reader, self._writer = await asyncio.wait_for(asyncio.open_connection(
            server.address, server.tls_port, ssl=self._context, server_hostname=self.account.domain), TIMEOUT)
        token = base64.b64encode(f"\0{self.account.local}\0{self.account.password}".encode()).decode()
        await self._open()
        self._write(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{token}</auth>")
        success = await self._next()
        assert success.tag.endswith("success"), ET.tostring(success)
        await self._open()

    async def _open(self) -> None:
        self._parser, self._depth = ET.XMLPullParser(("start", "end")), 0
        self._elements: collections.deque[ET.Element] = collections.deque()
        self._write(HEADER.format(self.account.domain))
        features = await self._next()
        assert features.tag.endswith("features"), ET.tostring(features)

    async def _next(self) -> ET.Element:
        """The next element below the stream."""
        while not self._elements:
            data = await asyncio.wait_for(self._reader.read(4096), TIMEOUT)
            if not data:
                raise Cut
            if self._budget is not None:
                # Once it is used up nothing more is heard.
                data, self._budget = data[:max(self._budget, 0)], self._budget - len(data)
            self._parser.feed(data)
            for event, element in self._parser.read_events():
                self._depth += 1 if event == "start" else -1
                if event == "end" and self._depth == 1:
                    self._elements.append(element)
            if self._budget is not None and self._budget <= 0:
                self._writer.transport.abort()
                if not self._elements:
                    raise Cut
        return self._elements.popleft()

    def _listen(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            while True:
                self._handle(await self._next())
                self._news.set()
        except (Cut, OSError, asyncio.TimeoutError, ssl.SSLError):
            pass
        except BaseException as failure:
            self.failure = failure
            raise
        finally:
            self._writer.transport.abort()
            self._news.set()

    def _handle(self, element: ET.Element) -> None:
        if element.tag == f"{{{SM}}}r":
            self._write(f"<a xmlns='{SM}' h='{self._handled}'/>")
        elif element.tag == f"{{{SM}}}a":
            self._acknowledge(int(element.get("h")))
        elif element.tag.startswith(CLIENT):
            self._handled += 1
            self.stanzas.append(element)
        else:
            raise AssertionError(ET.tostring(element))

    def _acknowledge(self, handled: int) -> None:
        while self.acknowledged < handled:
            assert self.unacknowledged, f"{handled} acknowledged of {self.acknowledged}"
            self.unacknowledged.popleft()
            self.acknowledged += 1

    def _write(self, text: str) -> None:
        data = text.encode()
        if self._budget is not None:
            data, self._budget = data[:max(self._budget, 0)], self._budget - len(data)
        if self._writer.is_closing():
            raise Cut
        self._writer.write(data)
        if self._budget is not None and self._budget <= 0:
            # What was written still goes out; nobody hears the rest.
            self._writer.close()
            raise Cut
