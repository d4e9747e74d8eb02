"""XEP-0065: files that clients send each other through the server's relay."""

import asyncio
import hashlib
import socket

from harness.people import befriend
from harness.scenario import TIMEOUT, Stage, scenario
from harness.slix import Slix
from .operations import ONLY_HERE

NS = "http://jabber.org/protocol/bytestreams"
CONTENT = bytes(range(251)) * 8000


async def sender(stage: Stage, name: str) -> Slix:
    """A client of slixmpp that accepts streams of bytes."""
    client = Slix(stage, await stage.account(name))
    client.xmpp.register_plugin("xep_0065", {"auto_accept": True})
    client.xmpp["xep_0030"].add_feature(NS)
    return await client.login()


@scenario(servers=ONLY_HERE)
async def a_file_goes_through_the_relay_that_clients_find_by_themselves(stage: Stage):
    romeo, juliet = await sender(stage, "romeo"), await sender(stage, "juliet")
    await befriend(romeo, juliet)
    arrived, got = asyncio.get_running_loop().create_future(), bytearray()

    def data(piece: bytes) -> None:
        got.extend(piece)
        if len(got) >= len(CONTENT) and not arrived.done():
            arrived.set_result(None)

    juliet.xmpp.add_event_handler("socks5_data", data)
    relay = romeo.xmpp["xep_0065"]
    proxies = await relay.discover_proxies(timeout=TIMEOUT)
    assert [str(jid) for jid in proxies] == [f"proxy.{romeo.account.domain}"], proxies
    stream = await relay.handshake(juliet.jid, timeout=TIMEOUT)
    assert stream is not None
    await stream.write(CONTENT)
    await asyncio.wait_for(arrived, TIMEOUT)
    assert hashlib.sha256(got).digest() == hashlib.sha256(CONTENT).digest()
    stream.transport.close()


@scenario(servers=ONLY_HERE)
async def the_relay_connects_nobody_to_anywhere(stage: Stage):
    romeo = await sender(stage, "romeo")
    (host, port), = (await romeo.xmpp["xep_0065"].discover_proxies(timeout=TIMEOUT)).values()
    # Through it to the server's own port for clients: by address, by name, and by the other commands of SOCKS5.
    clients = stage.server.c2s_port.to_bytes(2, "big")
    v4 = socket.inet_aton(stage.server.address)
    name = stage.server.address.encode()
    for request in (b"\x05\x01\x00\x01" + v4 + clients, b"\x05\x01\x00\x03" + bytes([len(name)]) + name + clients,
                    b"\x05\x02\x00\x01" + v4 + clients, b"\x05\x03\x00\x01" + v4 + clients):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"\x05\x01\x00" + request)
        said = await asyncio.wait_for(reader.read(), TIMEOUT)
        assert said[:3] == b"\x05\x00\x05" and said[3] != 0, said
        writer.close()
    assert await romeo.iq_error("set", f"<query xmlns='{NS}' sid='none'><activate>{romeo.jid}</activate></query>",
                                f"proxy.{romeo.account.domain}") == "item-not-found"
