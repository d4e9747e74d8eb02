"""A push service (RFC 8030) of the tests' own, and the browsers that are subscribed there."""

import asyncio
import base64
import json
import os
import ssl

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .scenario import TIMEOUT, Stage

FORM = "http://jabber.org/protocol/pubsub#publish-options"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class PushService:
    """Takes what is posted. `answers`: what it says to the next requests, 201 when there is none."""

    def __init__(self, stage: Stage):
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.requests: asyncio.Queue[tuple[str, dict[str, str], bytes]] = asyncio.Queue()
        self._stage, self._server, self._log = stage, None, []
        stage.joined(self)

    def __str__(self) -> str:
        return "push service"

    async def start(self, certified: str | None = None) -> "PushService":
        """Listens; with a certificate for another address if one is named."""
        address = self._stage.server.address
        chain, key = self._stage.server.certificates.for_address(certified or address, self._stage.folder)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(chain, key)
        self._server = await asyncio.start_server(self._serve, address, 0, ssl=context)
        self.origin = f"https://{address}:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line, *fields = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            method, path, version = line.split()
            assert (method, version) == ("POST", "HTTP/1.1"), line
            fields = {name.lower(): value for name, value in (field.split(": ", 1) for field in fields)}
            body = await reader.readexactly(int(fields["content-length"]))
            status, extra = self.answers.pop(0) if self.answers else (201, {})
            self._log.append(f"{line} {status}")
            head = "".join(f"{name}: {value}\r\n" for name, value in extra.items())
            writer.write(f"HTTP/1.1 {status} Whatever\r\n{head}Content-Length: 0\r\n\r\n".encode())
            await writer.drain()
            self.requests.put_nowait((path, fields, body))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def next(self) -> tuple[str, dict[str, str], bytes]:
        """Path, header fields and body of the next request."""
        return await asyncio.wait_for(self.requests.get(), TIMEOUT)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()

    def seen(self) -> str:
        return "\n".join(self._log)


class Subscription:
    """What a browser has of its subscription at `service`."""

    def __init__(self, service: PushService, name: str):
        self.path = f"/push/{name}"
        self.endpoint = service.origin + self.path
        self._service = service
        self._private = ec.generate_private_key(ec.SECP256R1())
        self._public = self._private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self._auth = os.urandom(16)
        self.keys = {"p256dh": encoded(self._public), "auth": encoded(self._auth)}

    def enable(self, domain: str, node: str) -> str:
        """The request that tells the server of it."""
        fields = {"FORM_TYPE": FORM, "endpoint": self.endpoint, **self.keys}
        fields = "".join(f"<field var='{var}'><value>{value}</value></field>" for var, value in fields.items())
        return (f"<enable xmlns='urn:xmpp:push:0' jid='{domain}' node='{node}'>"
                f"<x xmlns='jabber:x:data' type='submit'>{fields}</x></enable>")

    async def next(self, key: str) -> tuple[dict, dict[str, str]]:
        """The content of the next message, which has come from a server with this VAPID key; and the header."""
        path, fields, body = await self._service.next()
        assert path == self.path, path
        self._check(fields["authorization"], key)
        assert fields["content-encoding"] == "aes128gcm", fields
        assert int(fields["ttl"]) > 0 and len(body) <= 4096, fields
        return json.loads(self.decrypt(body)), fields

    def _check(self, authorization: str, key: str) -> None:
        """RFC 8292."""
        scheme, parameters = authorization.split(" ", 1)
        token, said = (dict(part.split("=", 1) for part in parameters.split(", "))[name] for name in "tk")
        assert (scheme, said) == ("vapid", key), authorization
        signed, signature = token.rsplit(".", 1)
        signature = decoded(signature)
        signature = utils.encode_dss_signature(*(int.from_bytes(signature[at:at + 32]) for at in (0, 32)))
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decoded(key))
        try:
            public.verify(signature, signed.encode(), ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise AssertionError("the token has a wrong signature") from None
        claims = json.loads(decoded(signed.split(".")[1]))
        assert claims["aud"] == self._service.origin, claims
        assert claims["sub"].startswith(("https://", "mailto:")), claims

    def decrypt(self, body: bytes) -> bytes:
        """RFC 8291."""
        salt, length = body[:16], body[20]
        public, record = body[21:21 + length], body[21 + length:]
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
        shared = self._private.exchange(ec.ECDH(), point)
        secret = derive(shared, self._auth, b"WebPush: info\0" + self._public + public, 32)
        key = derive(secret, salt, b"Content-Encoding: aes128gcm\0", 16)
        nonce = derive(secret, salt, b"Content-Encoding: nonce\0", 12)
        content, mark = AESGCM(key).decrypt(nonce, record, None).rstrip(b"\0"), b"\2"
        assert content.endswith(mark), content[-3:]
        return content[:-1]


def derive(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(secret)
