"""slixmpp as a component of the scenarios."""

import asyncio
import xml.etree.ElementTree as ET

from slixmpp.componentxmpp import ComponentXMPP

from .inbox import Inbox
from .scenario import TIMEOUT, Stage

PLUGINS = ("xep_0030", "xep_0085", "xep_0199", "xep_0203", "xep_0297", "xep_0356")
PORT = 5347


class ComponentRefused(Exception):
    """The server does not take the component."""


class _Component(ComponentXMPP):
    """Without the reconnecting that a gateway would do by itself."""

    def reschedule_connection_attempt(self):
        return None


class Component:
    """One connection of a component. All that it receives is in `inbox`, as if a client had received it."""

    def __init__(self, stage: Stage, domain: str, secret: str, plugins: tuple[str, ...] = PLUGINS):
        self.domain = domain
        self.inbox = Inbox()
        self.server = stage.server
        self.xmpp = component = _Component(domain, secret)
        component.auto_authorize = None
        component.auto_subscribe = False
        for plugin in plugins:
            component.register_plugin(plugin)
        component.add_filter("in", self._received)
        component.add_filter("out", self._sent)
        self._ended: asyncio.Future = asyncio.get_running_loop().create_future()
        self._failure: str | None = None
        component.add_event_handler("session_start", lambda _: self._end("session"))
        for event in ("connection_failed", "stream_error", "disconnected"):
            component.add_event_handler(event, lambda data, event=event: self._fail(event, data))
        stage.joined(self)

    def __str__(self) -> str:
        return f"component {self.domain}"

    async def start(self) -> "Component":
        """Connects and proves the secret."""
        self.xmpp.connect(self.server.address, PORT)
        result = await asyncio.wait_for(asyncio.shield(self._ended), TIMEOUT)
        if result != "session":
            raise ComponentRefused(result)
        return self

    def send(self, xml: str) -> None:
        """Sends a stanza as it stands."""
        self.inbox.note_sent(xml)
        self.xmpp.send_raw(xml)

    def message(self, sender: str, to: str, body: str) -> None:
        """Sends a message in the name of somebody behind the component."""
        self.xmpp.send_message(mto=to, mbody=body, mfrom=sender, mtype="chat")

    def presence(self, sender: str, to: str, type_: str | None = None, status: str | None = None) -> None:
        """Sends presence in the name of somebody behind the component."""
        self.xmpp.send_presence(pto=to, pfrom=sender, ptype=type_, pstatus=status)

    async def iq(self, type_: str, payload: str, to: str, sender: str | None = None) -> ET.Element:
        """Sends an IQ with the payload; returns the result's element, raises IqError on an error."""
        iq = self.xmpp.make_iq(ito=to, ifrom=sender or self.domain, itype=type_)
        iq.append(ET.fromstring(payload))
        return as_client((await iq.send(timeout=TIMEOUT)).xml)

    async def fence(self, other: str) -> None:
        """Comes back when that address has answered a ping sent after all before."""
        await self.xmpp["xep_0199"].send_ping(other, ifrom=self.domain, timeout=TIMEOUT)

    async def ended(self) -> str:
        """Waits for the end of the stream; returns what ended it, e.g. `stream_error: conflict`."""
        async def end():
            while self._failure is None:
                await asyncio.sleep(0.02)
            return self._failure
        return await asyncio.wait_for(end(), TIMEOUT)

    async def close(self) -> None:
        """Ends the stream."""
        self.xmpp.reconnect = lambda *_, **__: None
        if self.xmpp.is_connected():
            await self.xmpp.disconnect(wait=2)
        self.xmpp.cancel_connection_attempt()

    def cut(self) -> None:
        """Cuts the connection without a word."""
        self.xmpp.abort()

    def seen(self) -> str:
        return self.inbox.log()

    def _end(self, how: str) -> None:
        if not self._ended.done():
            self._ended.set_result(how)

    def _fail(self, event: str, data) -> None:
        text = f"stream_error: {data['condition']}" if event == "stream_error" else event
        if self._failure is None:
            self._failure = text
        self._end(text)

    def _received(self, stanza):
        self.inbox.put(as_client(stanza.xml))
        return stanza

    def _sent(self, stanza):
        self.inbox.note_sent(str(stanza))
        return stanza


def as_client(stanza: ET.Element) -> ET.Element:
    """The same in the namespace of clients."""
    text = ET.tostring(stanza, encoding="unicode")
    return ET.fromstring(text.replace("jabber:component:accept", "jabber:client"))
