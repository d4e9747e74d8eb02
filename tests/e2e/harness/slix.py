"""slixmpp as a client of the scenarios."""

import asyncio
import pathlib
import xml.etree.ElementTree as ET

import slixmpp
from slixmpp.exceptions import IqError

from .inbox import Inbox
from .scenario import TIMEOUT, Account, Stage

PLUGINS = ("xep_0004", "xep_0012", "xep_0030", "xep_0049", "xep_0050", "xep_0054", "xep_0077", "xep_0092",
           "xep_0115", "xep_0133", "xep_0191", "xep_0199", "xep_0202", "xep_0203")


class LoginRefused(Exception):
    """The server refused the login, or the connection could not be made safe."""


class _Client(slixmpp.ClientXMPP):
    """Without the reconnecting that a person's client would do."""

    def reschedule_connection_attempt(self):
        return None


class Slix:
    """One connection of slixmpp. All that it receives is in `inbox`."""

    def __init__(self, stage: Stage, account: Account, resource: str | None = None, *, direct_tls: bool = False,
                 tls: bool = True, password: str | None = None, mechanism: str | None = None,
                 ca_file: pathlib.Path | None = None, register: bool = False,
                 certificate: tuple[pathlib.Path, pathlib.Path] | None = None, managed: bool = False):
        jid = account.jid + (f"/{resource}" if resource else "")
        self.account = account
        self.inbox = Inbox()
        self.mechanism: str | None = None
        self.server = stage.server
        self._direct_tls = direct_tls
        self._client = client = _Client(jid, password or account.password, sasl_mech=mechanism)
        self.xmpp = client
        client.auto_authorize = None
        client.auto_subscribe = False
        client.ca_certs = pathlib.Path(ca_file or stage.server.ca_file)
        if certificate is not None:
            client.certfile, client.keyfile = map(str, certificate)
        client.enable_direct_tls = direct_tls
        client.enable_starttls = tls and not direct_tls
        client.enable_plaintext = not tls
        for plugin in PLUGINS + (("xep_0198",) if managed else ()):
            if plugin != "xep_0077" or register:
                client.register_plugin(plugin)
        if not tls:
            client["feature_mechanisms"].unencrypted_scram = True
        client.add_filter("in", self._received)
        client.add_filter("out", self._sent)
        self._ended: asyncio.Future = asyncio.get_running_loop().create_future()
        self._failure: str | None = None
        self._refusals: list[str] = []
        client.add_event_handler("session_start", lambda _: self._end("session"))
        client.add_event_handler("failed_auth", lambda failure: self._refusals.append(failure["condition"]))
        for event in ("failed_all_auth", "connection_failed", "ssl_invalid_chain", "ssl_invalid_cert",
                      "no_auth", "stream_error", "disconnected"):
            client.add_event_handler(event, lambda data, event=event: self._fail(event, data))
        stage.joined(self)

    def __str__(self) -> str:
        return f"slixmpp {self.jid}"

    @property
    def jid(self) -> str:
        """The full JID once bound."""
        return str(self._client.boundjid)

    async def login(self, presence: bool = True, priority: int | None = None, roster: bool = True) -> "Slix":
        """Connects, logs in and binds; asks for the roster and becomes available if told so."""
        port = self.server.tls_port if self._direct_tls else self.server.c2s_port
        self._client.connect(self.server.address, port)
        result = await asyncio.wait_for(self._ended, TIMEOUT)
        if result != "session":
            raise LoginRefused(result)
        self.mechanism = self._client["feature_mechanisms"].mech.name
        if roster:
            await self.iq_roster()
        if presence:
            await self.available(priority)
        return self

    async def available(self, priority: int | None = None, **attributes) -> None:
        """Broadcasts presence and waits until the server has handled it."""
        self._client.send_presence(ppriority=priority, **attributes)
        await self.settle()

    async def settle(self) -> None:
        """Comes back when the server has answered a ping sent after all before."""
        await self._client["xep_0199"].send_ping(self.account.domain, timeout=TIMEOUT)

    async def fence(self, other: str) -> None:
        """Comes back when that connection has answered a ping sent after all before."""
        await self._client["xep_0199"].send_ping(other, timeout=TIMEOUT)

    def send(self, xml: str) -> None:
        """Sends a stanza as it stands."""
        self.inbox.note_sent(xml)
        self._client.send_raw(xml)

    def message(self, to: str, body: str, type_: str = "chat") -> None:
        """Sends a message."""
        self._client.send_message(mto=to, mbody=body, mtype=type_)

    def presence(self, to: str | None = None, type_: str | None = None) -> None:
        """Sends presence, directed if `to` is given."""
        self._client.send_presence(pto=to, ptype=type_)

    async def iq(self, type_: str, payload: str, to: str | None = None) -> ET.Element:
        """Sends an IQ with the payload; returns the result's element, raises IqError on an error."""
        iq = self._client.make_iq(ito=to, itype=type_)
        iq.append(ET.fromstring(payload))
        return (await iq.send(timeout=TIMEOUT)).xml

    async def iq_error(self, type_: str, payload: str, to: str | None = None) -> str:
        """The same for an IQ that must be refused; returns the condition."""
        try:
            await self.iq(type_, payload, to)
        except IqError as refused:
            return refused.condition
        raise AssertionError(f"must be refused: {payload}")

    async def iq_roster(self) -> dict[str, ET.Element]:
        """The roster as the server has it: items by JID."""
        result = await self.iq("get", "<query xmlns='jabber:iq:roster'/>")
        return {item.get("jid"): item for item in result.iter("{jabber:iq:roster}item")}

    async def ended(self) -> str:
        """Waits for the end of the stream; returns what ended it, e.g. `stream_error: conflict`."""
        return await asyncio.wait_for(self._end_of_stream(), TIMEOUT)

    async def close(self) -> None:
        """Ends the stream."""
        self._client.reconnect = lambda *_, **__: None
        if self._client.is_connected():
            await self._client.disconnect(wait=2)
        self._client.cancel_connection_attempt()

    def cut(self) -> None:
        """Cuts the connection without a word."""
        self._client.abort()

    async def resume(self) -> None:
        """Connects again, and waits until the session goes on (XEP-0198)."""
        resumed = asyncio.get_running_loop().create_future()
        self.xmpp.add_event_handler("session_resumed", lambda _: resumed.done() or resumed.set_result(None),
                                    disposable=True)
        self._client.connect(self.server.address, self.server.tls_port if self._direct_tls else self.server.c2s_port)
        await asyncio.wait_for(resumed, TIMEOUT)

    def seen(self) -> str:
        return self.inbox.log()

    async def _end_of_stream(self) -> str:
        while self._failure is None:
            await asyncio.sleep(0.02)
        return self._failure

    def _end(self, how: str) -> None:
        if not self._ended.done():
            self._ended.set_result(how)

    def _fail(self, event: str, data) -> None:
        text = event
        if event == "stream_error":
            text = f"stream_error: {data['condition']}"
        elif event == "failed_all_auth":
            text = f"failed_all_auth: {' '.join(self._refusals)}"
        elif data:
            text = f"{event}: {data}"
        if self._failure is None:
            self._failure = text
        self._end(text)

    def _received(self, stanza):
        self.inbox.put(stanza.xml)
        return stanza

    def _sent(self, stanza):
        self.inbox.note_sent(str(stanza))
        return stanza
