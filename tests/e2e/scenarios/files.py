"""XEP-0363: files that users share, with slixmpp's own uploads, aioxmpp's slots, and HTTP by hand. Each with a server of its own."""

import asyncio
import contextlib
import http.client
import io
import itertools
import pathlib
import socket
import urllib.parse

import aioxmpp
import aioxmpp.httpupload
from slixmpp.plugins.xep_0363.http_upload import FileTooBig

from harness.aio import Aio
from harness.scenario import Stage, scenario
from harness.slix import Slix
from .operations import ONLY_HERE, own_server

NS = "{urn:xmpp:http:upload:0}"


@contextlib.asynccontextmanager
async def sharing_server(stage: Stage):
    """A stage whose server says that it is where the tests find it, in plain HTTP."""
    async with own_server(stage, start=False) as beside:
        server = beside.server
        with open(server.config, "a", encoding="utf-8") as config:
            config.write(f'\n[http]\npublic_url = "http://{server.address}:{server.http_port}"\n')
        await asyncio.to_thread(server.start)
        yield beside


async def sharer(stage: Stage, name: str) -> Slix:
    """Someone whose client is slixmpp with its plug-in for uploads."""
    client = Slix(stage, await stage.account(name))
    client.xmpp.register_plugin("xep_0363")
    return await client.login()


async def slot(client: Slix, name: str, size: int, more: str = "") -> tuple[str, str]:
    """The addresses for PUT and GET."""
    result = await client.iq("get", f"<request xmlns='urn:xmpp:http:upload:0' filename='{name}' size='{size}'>{more}</request>",
                             client.account.domain)
    return result.find(f".//{NS}put").get("url"), result.find(f".//{NS}get").get("url")


def ask(method: str, url: str, body: bytes | None = None, fields: dict | None = None):
    """Status, fields and content of the answer to one request."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    try:
        connection.request(method, urllib.parse.urlunsplit(("", "") + parts[2:]), body, fields or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def kept(server) -> list[pathlib.Path]:
    """The files in the server's folder, unfinished ones included."""
    return [path for path in (server.data / "uploads").rglob("*") if path.is_file()]


@scenario(servers=ONLY_HERE)
async def a_file_from_slixmpp_is_read_by_another_user_before_and_after_a_restart(stage: Stage):
    async with sharing_server(stage) as beside:
        romeo, juliet = await sharer(beside, "romeo"), await sharer(beside, "juliet")
        content = bytes(range(256)) * 4096
        url = await romeo.xmpp["xep_0363"].upload_file(
            pathlib.Path("très cool.jpg"), size=len(content), content_type="image/jpeg", input_file=io.BytesIO(content))
        romeo.message(juliet.jid, url)
        received = await juliet.inbox.expect("the address", lambda s: s.findtext("{jabber:client}body") == url)
        address = received.findtext("{jabber:client}body")
        status, fields, got = await asyncio.to_thread(ask, "GET", address)
        assert (status, got == content, fields["Content-Type"]) == (200, True, "image/jpeg"), (status, fields)
        await romeo.close()
        await juliet.close()
        await asyncio.to_thread(beside.server.stop)
        await asyncio.to_thread(beside.server.start)
        status, fields, got = await asyncio.to_thread(ask, "GET", address, None, {"Range": "bytes=-256"})
        assert (status, got) == (206, bytes(range(256))), (status, fields)
        status, fields, _ = await asyncio.to_thread(ask, "HEAD", address, None, {"If-None-Match": fields["ETag"]})
        assert status == 304, status


@scenario(servers=ONLY_HERE)
async def slots_of_aioxmpp_and_purposes_of_slixmpp_are_granted(stage: Stage):
    async with sharing_server(stage) as beside:
        account = await beside.account("romeo")
        romeo = await Aio(beside, account, services=(aioxmpp.DiscoClient,)).login()
        service = aioxmpp.JID.fromstr(beside.server.domain)
        granted = await aioxmpp.httpupload.request_slot(romeo.client, service, "a b.txt", 5, "text/plain")
        status, _, _ = await asyncio.to_thread(ask, "PUT", granted.put.url, b"hello", {"Content-Type": "text/plain"})
        assert status == 201, status
        status, fields, got = await asyncio.to_thread(ask, "GET", granted.get.url)
        assert (status, got) == (200, b"hello") and fields["Content-Disposition"].startswith("inline"), (status, fields)

        juliet = await sharer(beside, "juliet")
        plugin = juliet.xmpp["xep_0363"]
        for purpose in ("profile", "permanent"):
            url = await plugin.upload_file(pathlib.Path("a.svg"), size=5, content_type="image/svg+xml",
                                           input_file=io.BytesIO(b"<svg>"), purpose=purpose)
            _, fields, _ = await asyncio.to_thread(ask, "GET", url)
            assert fields["Content-Disposition"].startswith("attachment"), fields
            assert fields["Content-Type"] == "application/octet-stream", fields
        try:
            await plugin.upload_file(pathlib.Path("a"), size=1 << 40, input_file=io.BytesIO(b""))
            raise AssertionError("the client knows the largest size")
        except FileTooBig:
            pass
        too_large = "<request xmlns='urn:xmpp:http:upload:0' filename='a' size='1099511627776'/>"
        assert await juliet.iq_error("get", too_large, beside.server.domain) == "not-acceptable"


@scenario(servers=ONLY_HERE)
async def a_slot_works_once_and_only_for_what_it_was_granted(stage: Stage):
    async with sharing_server(stage) as beside:
        romeo = await sharer(beside, "romeo")
        put, get = await slot(romeo, "../../a.txt", 5)
        for body, fields, expected in ((b"hello!", {}, 413), (b"hell", {}, 400), (b"hello", {}, 201), (b"hello", {}, 403)):
            status, _, text = await asyncio.to_thread(ask, "PUT", put, body, fields)
            assert status == expected and text, (body, status, text)
        base = get.rsplit("/", 2)[0]
        for path in ("/../../tercet.db", "/..%2f..%2ftercet.db/a", "/%2e%2e/%2e%2e/tercet.db", "/part/a"):
            status, _, _ = await asyncio.to_thread(ask, "GET", base + path)
            assert status == 404, (path, status)


@scenario(servers=ONLY_HERE)
async def kill_9_leaves_nothing_of_an_upload_and_all_of_one_that_was_confirmed(stage: Stage):
    async with sharing_server(stage) as beside:
        server = beside.server
        romeo = await sharer(beside, "romeo")
        confirmed = []
        for number in itertools.count():
            content = f"{number}".encode() * 50_000
            put, get = await slot(romeo, f"{number}.bin", len(content))
            status, _, _ = await asyncio.to_thread(ask, "PUT", put, content)
            assert status == 201, status
            confirmed.append((get, content))
            if number == 4:
                break
        put, broken = await slot(romeo, "broken.bin", 10_000_000)
        parts = urllib.parse.urlsplit(put)
        with socket.create_connection((parts.hostname, parts.port)) as half:
            half.sendall(f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
                         "Content-Length: 10000000\r\n\r\n".encode() + bytes(5_000_000))
            while len(kept(server)) != len(confirmed) + 1:
                await asyncio.sleep(0.01)
            server.kill()
        await asyncio.to_thread(server.start)
        assert len(kept(server)) == len(confirmed), kept(server)
        status, _, _ = await asyncio.to_thread(ask, "GET", broken)
        assert status == 404, status
        for get, content in confirmed:
            status, _, got = await asyncio.to_thread(ask, "GET", get)
            assert (status, got == content) == (200, True), status


@scenario(servers=ONLY_HERE)
async def files_go_with_their_account(stage: Stage):
    async with sharing_server(stage) as beside:
        romeo, juliet = await sharer(beside, "romeo"), await sharer(beside, "juliet")
        urls = []
        for person in (romeo, juliet):
            put, get = await slot(person, "a", 5)
            status, _, _ = await asyncio.to_thread(ask, "PUT", put, b"hello")
            assert status == 201, status
            urls.append(get)
        await romeo.iq("set", "<query xmlns='jabber:iq:register'><remove/></query>")
        status, _, _ = await asyncio.to_thread(ask, "GET", urls[0])
        assert status == 404, status
        while len(kept(beside.server)) != 1:
            await asyncio.sleep(0.01)
        status, _, _ = await asyncio.to_thread(ask, "GET", urls[1])
        assert status == 200, status
