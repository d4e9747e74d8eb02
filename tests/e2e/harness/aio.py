"""aioxmpp as a client of the scenarios: its own services do the work."""

import asyncio
import hashlib
import pathlib

import aioxmpp
import aioxmpp.security_layer
import aiosasl
import aiosasl.channel_binding
import OpenSSL.crypto
import OpenSSL.SSL

from .scenario import TIMEOUT, Account, Stage
from .slix import LoginRefused


class EndPoint(aiosasl.channel_binding.ChannelBindingProvider):
    """RFC 5929 §4 for certificates signed with SHA-256 (aiosasl's own knows no ECDSA signatures)."""

    cb_name = b"tls-server-end-point"

    def __init__(self, connection: OpenSSL.SSL.Connection):
        super().__init__()
        self._connection = connection

    def extract_cb_data(self) -> bytes:
        certificate = self._connection.get_peer_certificate()
        return hashlib.sha256(OpenSSL.crypto.dump_certificate(OpenSSL.crypto.FILETYPE_ASN1, certificate)).digest()


class ScramPlus(aioxmpp.security_layer.SASLProvider):
    """SCRAM with channel binding and nothing else (aioxmpp's own provider never binds)."""

    def __init__(self, password: str):
        super().__init__()
        self._password = password

    async def execute(self, client_jid, features, xmlstream, tls_transport):
        connection = tls_transport.get_extra_info("ssl_object")
        chosen, token = self._find_supported(features, [aiosasl.SCRAMPLUS])
        if chosen is None:
            return False

        async def credentials():
            return client_jid.localpart, self._password

        interface = aioxmpp.security_layer.sasl.SASLXMPPInterface(xmlstream)
        return await self._execute(interface, chosen(credentials, EndPoint(connection)), token)


class Aio:
    """One connection of aioxmpp. `client` is aioxmpp's own, with the services named at the making."""

    def __init__(self, stage: Stage, account: Account, resource: str | None = None, *, services=(),
                 direct_tls: bool = False, password: str | None = None, channel_binding: bool = False,
                 ca_file: pathlib.Path | None = None):
        self.account = account
        server = stage.server
        password = password or account.password
        jid = aioxmpp.JID.fromstr(account.jid).replace(resource=resource)

        def context():
            tls = OpenSSL.SSL.Context(OpenSSL.SSL.TLS_CLIENT_METHOD)
            tls.load_verify_locations(str(ca_file or server.ca_file))
            return tls

        async def get_password(_jid, attempt):
            return password if attempt == 0 else None

        provider = ScramPlus(password) if channel_binding else \
            aioxmpp.security_layer.PasswordSASLProvider(get_password, max_auth_attempts=2)
        security = aioxmpp.security_layer.SecurityLayer(
            context, aioxmpp.security_layer.PKIXCertificateVerifier, True, [provider])
        connector = aioxmpp.connector.XMPPOverTLSConnector() if direct_tls else aioxmpp.connector.STARTTLSConnector()
        port = server.tls_port if direct_tls else server.c2s_port
        self.client = aioxmpp.PresenceManagedClient(
            jid, security, override_peer=[(server.address, port, connector)], max_initial_attempts=1)
        self.services = {service: self.client.summon(service) for service in services}
        self.messages: list[aioxmpp.Message] = []
        dispatcher = self.client.summon(aioxmpp.dispatcher.SimpleMessageDispatcher)
        for type_ in (aioxmpp.MessageType.CHAT, aioxmpp.MessageType.NORMAL):
            dispatcher.register_callback(type_, None, self.messages.append)
        self._connected = None
        stage.joined(self)

    def __str__(self) -> str:
        return f"aioxmpp {self.jid}"

    def __getitem__(self, service):
        """The service of that class."""
        return self.services[service]

    @property
    def jid(self) -> str:
        """The full JID once bound."""
        return str(self.client.local_jid)

    async def login(self) -> "Aio":
        """Connects, logs in, binds, sends presence."""
        self._connected = self.client.connected(presence=aioxmpp.PresenceState(True))
        try:
            await asyncio.wait_for(self._connected.__aenter__(), TIMEOUT)
        except (aioxmpp.errors.StreamNegotiationFailure, aiosasl.SASLError, OpenSSL.SSL.Error,
                OSError, asyncio.InvalidStateError) as refused:
            # aioopenssl, when the handshake fails while it is being closed, says so by the last of these.
            if isinstance(refused, asyncio.InvalidStateError) and not isinstance(
                    refused.__context__ or refused.__cause__, OpenSSL.SSL.Error):
                raise
            self._connected = None
            raise LoginRefused(repr(refused)) from refused
        await self.settle()
        return self

    async def settle(self) -> None:
        """Comes back when the server has answered a ping sent after all before."""
        await self.ping(self.account.domain)

    async def ping(self, to: str) -> None:
        """XEP-0199."""
        await asyncio.wait_for(aioxmpp.ping.ping(self.client, aioxmpp.JID.fromstr(to)), TIMEOUT)

    async def message(self, to: str, body: str) -> None:
        """Sends a chat message."""
        message = aioxmpp.Message(type_=aioxmpp.MessageType.CHAT, to=aioxmpp.JID.fromstr(to))
        message.body[None] = body
        await self.client.send(message)

    async def got_message(self, body: str) -> aioxmpp.Message:
        """Waits for a message with this body."""
        return await until(f"message {body!r}", lambda: next(
            (m for m in self.messages if m.body and m.body.any() == body), None))

    def cut(self) -> None:
        """Cuts the connection without a word; aioxmpp makes another."""
        self.client.stream._xmlstream.transport._force_close(ConnectionResetError("cut"))

    async def close(self) -> None:
        """Ends the stream."""
        if self._connected is not None:
            connected, self._connected = self._connected, None
            await connected.__aexit__(None, None, None)

    def seen(self) -> str:
        return "\n".join(f"message from {m.from_}: {m.body.any() if m.body else None}" for m in self.messages)


async def until(what: str, condition, timeout: float = TIMEOUT):
    """Waits until `condition()` gives something true and returns it."""
    for _ in range(int(timeout / 0.02)):
        if result := condition():
            return result
        await asyncio.sleep(0.02)
    raise AssertionError(f"did not come within {timeout:.0f} s: {what}")
