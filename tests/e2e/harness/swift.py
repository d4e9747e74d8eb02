"""A thin client that is back after one round trip (XEP-0388, XEP-0386, XEP-0484, inline XEP-0198)."""

import asyncio
import base64
import collections
import hashlib
import hmac
import uuid
import xml.etree.ElementTree as ET

from .managed import HEADER, SM, Managed
from .scenario import TIMEOUT, Account, Stage

SASL2 = "{urn:xmpp:sasl:2}"
BIND2 = "{urn:xmpp:bind:0}"
FAST = "{urn:xmpp:fast:0}"


class Refused(Exception):
    """A login has failed; the condition."""


class Swift(Managed):
    """Logs in with one request, and with a token as soon as it has one."""

    def __init__(self, stage: Stage, account: Account, *, mechanism: str = "HT-SHA-256-ENDP"):
        super().__init__(stage, account, "")
        self.agent = str(uuid.uuid4())
        self.mechanism, self.token, self.count, self.version = mechanism, "", 0, ""
        #: The server's `<success/>`.
        self.success: ET.Element | None = None

    async def login(self, *, inner: str = "", available: bool = True, keep: bool = False) -> "Swift":
        """A new session that can be resumed, with more in `<bind/>`; `keep`: with the token that it has."""
        success = await self._once(
            f"<bind xmlns='urn:xmpp:bind:0'><tag>Swift</tag><enable xmlns='{SM}' resume='true'/>{inner}</bind>"
            + ("" if keep else f"<request-token xmlns='urn:xmpp:fast:0' mechanism='{self.mechanism}'/>"))
        enabled = success.find(f"{BIND2}bound/{{{SM}}}enabled")
        assert enabled is not None and enabled.get("resume") == "true", ET.tostring(success)
        self.jid, self.id = success.findtext(f"{SASL2}authorization-identifier"), enabled.get("id")
        self._handled = 0
        features = await self._next()
        assert features.tag.endswith("features"), ET.tostring(features)
        self._listen()
        if available:
            self.send("<presence/>")
            await self.until(lambda: any(s.tag.endswith("presence") for s in self.stanzas))
            self.stanzas = [s for s in self.stanzas if not s.tag.endswith("presence")]
        return self

    async def resume(self) -> None:
        """The session goes on over a new connection, with its first request."""
        success = await self._once(f"<resume xmlns='{SM}' previd='{self.id}' h='{self._handled}'/>")
        resumed = success.find(f"{{{SM}}}resumed")
        assert resumed is not None and resumed.get("previd") == self.id, ET.tostring(success)
        assert success.findtext(f"{SASL2}authorization-identifier") == self.jid, ET.tostring(success)
        self.resumptions += 1
        self._acknowledge(int(resumed.get("h")))
        for stanza in list(self.unacknowledged):
            self._write(stanza)
        self._listen()

    def proof(self, role: bytes) -> bytes:
        """What shows who has the token."""
        channel = b""
        if self.mechanism.endswith("-ENDP"):
            certificate = self._writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            channel = hashlib.sha256(certificate).digest()
        return hmac.digest(self.token.encode(), role + channel, "sha256")

    async def _once(self, wishes: str) -> ET.Element:
        """Logs in with one request, behind the header where the features are known; returns `<success/>`."""
        server = self._stage.server
        self._budget = None
        self._reader, self._writer = await asyncio.wait_for(asyncio.open_connection(
            server.address, server.tls_port, ssl=self._context, server_hostname=self.account.domain), TIMEOUT)
        by_token = bool(self.token)
        if by_token:
            self.count += 1
            message, fast = self.account.local.encode() + b"\0" + self.proof(b"Initiator"), \
                f"<fast xmlns='urn:xmpp:fast:0' count='{self.count}'/>"
        else:
            message, fast = f"\0{self.account.local}\0{self.account.password}".encode(), ""
        request = (f"<authenticate xmlns='urn:xmpp:sasl:2' mechanism='{self.mechanism if by_token else 'PLAIN'}'>"
                   f"<initial-response>{base64.b64encode(message).decode()}</initial-response>"
                   f"<user-agent id='{self.agent}'><software>Swift</software></user-agent>{fast}{wishes}"
                   + (f"<config-version xmlns='urn:xmpp:iap:0' scheme='opaque' value='{self.version}'/>"
                      if self.version else "") + "</authenticate>")
        self._parser, self._depth = ET.XMLPullParser(("start", "end")), 0
        self._elements = collections.deque()
        waits = not self.version
        self._write(HEADER.format(self.account.domain) + ("" if waits else request))
        features = await self._next()
        self.version = features.find("{urn:xmpp:iap:0}config-version").get("value")
        if waits:
            self._write(request)
        answer = await self._next()
        if answer.tag == f"{SASL2}failure":
            raise Refused(answer[0].tag.split("}")[1])
        assert answer.tag == f"{SASL2}success", ET.tostring(answer)
        self.success = answer
        if by_token:
            data = base64.b64decode(answer.findtext(f"{SASL2}additional-data"))
            assert data == self.proof(b"Responder"), "the server knows the token, too"
        token = answer.find(f"{FAST}token")
        if token is not None:
            self.token, self.count = token.get("token"), 0
        return answer
