"""BOSH by hand: requests with their numbers, whose answers may be lost or asked for again."""

import asyncio
import base64
import xml.etree.ElementTree as ET
from xml.sax.saxutils import quoteattr

from .inbox import Inbox
from .scenario import TIMEOUT, Account, Stage

BODY = "{http://jabber.org/protocol/httpbind}body"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
SM = "urn:xmpp:sm:3"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"
NAMESPACES = "xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh'"


async def post(stage: Stage, body: str | bytes, method: str = "POST", fields: str = "") -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own: status, fields and body of the answer."""
    address = stage.server.address
    body = body.encode() if isinstance(body, str) else body
    reader, writer = await asyncio.open_connection(address, stage.server.http_port)
    try:
        head = (f"{method} {stage.server.bosh_path} HTTP/1.1\r\nHost: {stage.server.bosh_host}\r\nConnection: close\r\n"
                f"Content-Type: text/xml; charset=utf-8\r\nContent-Length: {len(body)}\r\n{fields}\r\n")
        writer.write(head.encode() + body)
        answer = await reader.read()
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    named = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), named, body


class Bosh:
    """One session. Each request is answered in a task of its own; what comes goes to the inbox."""

    def __init__(self, stage: Stage, account: Account, resource: str = "bosh"):
        self.stage = stage
        self.account = account
        self.resource = resource
        self.jid = account.jid
        self.inbox = Inbox()
        self.rid = 1000
        self.sid = ""
        self.session: dict[str, str] = {}
        self.ended: str | None = None
        self._wrote: dict[int, str] = {}
        self._tasks: set[asyncio.Task] = set()
        stage.joined(self)

    def __str__(self) -> str:
        return f"BOSH {self.jid}"

    def seen(self) -> str:
        return self.inbox.log()

    def write(self, payload: str = "", **attributes: str) -> tuple[int, str]:
        """The next request, not sent yet."""
        self.rid += 1
        sid = f"sid={quoteattr(self.sid)}" if self.sid else ""
        more = " ".join(f"{name.replace('__', ':')}={quoteattr(value)}" for name, value in attributes.items())
        self._wrote[self.rid] = f"<body {NAMESPACES} rid='{self.rid}' {sid} {more}>{payload}</body>"
        return self.rid, self._wrote[self.rid]

    async def send(self, rid: int) -> ET.Element:
        """Sends a request, for the first time or again; gives its answer."""
        self.inbox.note_sent(self._wrote[rid])
        status, _, body = await post(self.stage, self._wrote[rid])
        assert status == 200, (status, body)
        answer = ET.fromstring(body)
        assert answer.tag == BODY, body
        self.inbox.note_sent(f"answer to {rid}: {body.decode()}")
        return answer

    async def ask(self, payload: str = "", **attributes: str) -> ET.Element:
        """A request and its answer, whose stanzas go to the inbox."""
        rid, _ = self.write(payload, **attributes)
        answer = await asyncio.wait_for(self.send(rid), 70)
        for stanza in answer:
            self.inbox.put(stanza)
        if answer.get("type") == "terminate":
            self.ended = answer.get("condition") or "terminated"
        return answer

    def later(self, payload: str = "", **attributes: str) -> asyncio.Task:
        """The same; its answer is waited for elsewhere."""
        rid, _ = self.write(payload, **attributes)

        async def run():
            answer = await asyncio.wait_for(self.send(rid), 70)
            for stanza in answer:
                self.inbox.put(stanza)
            return answer
        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def begin(self, rid: int) -> asyncio.StreamWriter:
        """Sends a request; the connection is the caller's, to be broken."""
        body = self._wrote[rid].encode()
        _, writer = await asyncio.open_connection(self.stage.server.address, self.stage.server.http_port)
        writer.write((f"POST {self.stage.server.bosh_path} HTTP/1.1\r\nHost: {self.stage.server.bosh_host}\r\n"
                      f"Content-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body)
        await writer.drain()
        return writer

    async def open(self, **attributes: str) -> ET.Element:
        """Makes the session."""
        self.sid = ""
        values = dict(to=self.account.domain, wait="60", hold="1", ver="1.6", xmpp__version="1.0") | attributes
        answer = await self.ask(**{name: value for name, value in values.items() if value is not None})
        self.session = dict(answer.attrib)
        self.sid = answer.get("sid", "")
        return answer

    async def login(self, **attributes: str) -> "Bosh":
        """A bound resource, available."""
        await self.authenticate(**attributes)
        bind = (f"<iq xmlns='jabber:client' type='set' id='bind'><bind xmlns='{BIND}'>"
                f"<resource>{self.resource}</resource></bind></iq>")
        bound = await self.until(bind, "{jabber:client}iq")
        self.jid = bound.findtext(f"{{{BIND}}}bind/{{{BIND}}}jid")
        await self.until("<presence xmlns='jabber:client'/>", "{jabber:client}presence")
        return self

    async def authenticate(self, **attributes: str) -> None:
        """A session that has logged in and bound nothing."""
        await self.open(**attributes)
        plain = base64.b64encode(f"\0{self.account.local}\0{self.account.password}".encode()).decode()
        await self.until(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{plain}</auth>", f"{{{SASL}}}success")
        await self.until("", "{http://etherx.jabber.org/streams}features", to=self.account.domain, xmpp__restart="true")

    async def manage(self) -> str:
        """Turns stream management on; the name by which the session is resumed."""
        enabled = await self.until(f"<enable xmlns='{SM}' resume='true'/>", f"{{{SM}}}enabled")
        return enabled.get("id")

    async def resume(self, name: str, handled: int) -> ET.Element:
        """Logs in and goes on with a session."""
        await self.authenticate()
        return await self.until(f"<resume xmlns='{SM}' previd='{name}' h='{handled}'/>", f"{{{SM}}}resumed")

    async def until(self, payload: str, tag: str, **attributes: str) -> ET.Element:
        """Asks, and goes on asking for nothing, until such an element comes."""
        task = self.later(payload, **attributes)
        while True:
            answer = await asyncio.wait_for(task, TIMEOUT)
            assert answer.get("type") is None, ET.tostring(answer)
            found = self.inbox.find(lambda stanza: stanza.tag == tag)
            if found is not None:
                return found
            task = self.later()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self.sid and self.ended is None:
            self.rid += 1
            await post(self.stage, f"<body {NAMESPACES} rid='{self.rid}' sid='{self.sid}' type='terminate'/>")


def message(to: str, body: str) -> str:
    """A chat message."""
    return f"<message xmlns='jabber:client' to={quoteattr(to)} type='chat'><body>{body}</body></message>"
