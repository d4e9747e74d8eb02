"""Two servers: ours and Debian's Prosody on another loopback address, which know each other by certificate or by dialback."""

import asyncio
import contextlib
import itertools
import pathlib
import tempfile

from harness.certs import Certificates
from harness.people import befriend, subscribe
from harness.rooms import ask, enter_new, instant
from harness.scenario import Account, Stage, scenario
from harness.servers import Prosody, Server, free_address
from harness.slix import Slix

from .operations import ONLY_HERE, own_server

PEER = "prosody.test"
_addresses = itertools.count(120)


class Peer(Prosody):
    """Prosody for the domain `prosody.test`, with its rooms and nodes, which finds servers in a file of its own."""

    domain = PEER

    def __init__(self, folder: pathlib.Path, address: str):
        super().__init__(folder, address)
        self.certificates = Certificates(folder / "peer", [PEER, f"*.{PEER}"])
        self.ca_file = self.certificates.ca_file

    def configure(self, other: Server, secure: bool, managed: bool) -> None:
        """`secure`: certificates have to be right; else dialback is enough. `managed`: it acknowledges stanzas."""
        folder = self.folder
        hosts = folder / "hosts"
        hosts.write_text(f"{self.address} {PEER} rooms.{PEER} lists.{PEER}\n{other.address} {other.domain} rooms.{other.domain}\n")
        both = folder / "both.crt"
        both.write_text(self.certificates.ca_file.read_text() + other.certificates.ca_file.read_text())
        authority = f', cafile = "{both}"' if secure else ""
        self.config.write_text(f"""\
run_as_root = true
daemonize = false
pidfile = "{folder}/prosody.pid"
data_path = "{folder / 'data'}"
log = {{ {{ levels = {{ min = "debug" }}, to = "console" }} }}
modules_enabled = {{ "disco", "roster", "saslauth", "tls", "dialback", "ping", "register", "posix", "vcard", "private"{', "smacks"' if managed else ""} }}
interfaces = {{ "{self.address}" }}
c2s_ports = {{ {self.c2s_port} }}
c2s_direct_tls_ports = {{ {self.tls_port} }}
s2s_ports = {{ 5269 }}
s2s_direct_tls_ports = {{ 5270 }}
s2s_require_encryption = true
s2s_secure_auth = {str(secure).lower()}
authentication = "internal_hashed"
unbound = {{ hoststxt = "{hosts}"; resolvconf = false; options = {{ ["local-zone:"] = "test. static" }} }}
ssl = {{ certificate = "{self.certificates.chain}", key = "{self.certificates.key}"{authority} }}
admins = {{ "keeper@{PEER}" }}
VirtualHost "{PEER}"
Component "rooms.{PEER}" "muc"
Component "lists.{PEER}" "pubsub"
""")


@contextlib.asynccontextmanager
async def two_servers(stage: Stage, secure: bool, port: str = "5269", tls: str = "", managed: bool = False):
    """A stage here and one there; both servers run."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="peer-", dir=stage.server.folder.parent))
    peer = Peer(folder, free_address(next(_addresses)))
    async with own_server(stage, start=False) as here:
        server = here.server
        peer.configure(server, secure, managed)
        server._replace("addresses = [", "s2s = 5269\ns2s_tls = 5270\naddresses = [")
        if secure:
            both = folder / "both.crt"
            server._replace(f'ca_file     = "{server.certificates.ca_file}"',
                            f'ca_file     = "{both}"\nrequire_server_certificate = true')
        with open(server.config, "a", encoding="utf-8") as config:
            places = ", ".join(f'"{domain}={tls}{peer.address}:{port}"' for domain in (PEER, f"rooms.{PEER}", f"lists.{PEER}"))
            config.write(f"\n[federation]\nroutes = [{places}]\n")
        await asyncio.to_thread(server.start)
        there = Stage(peer, stage.folder)
        try:
            await asyncio.to_thread(peer.start)
            yield here, there
        except Exception:
            stage.note(there.dialogue() + "\n" + peer.log_tail(200) + "\n" + server.log_tail(200))
            raise
        finally:
            await there.close()
            peer.kill()


async def people(here: Stage, there: Stage) -> tuple[Slix, Slix]:
    """Romeo here, Juliet there, both available."""
    romeo = await Slix(here, await here.account("romeo"), "desk").login()
    juliet = await Slix(there, await there.account("juliet"), "balcony").login()
    return romeo, juliet


async def talk(romeo: Slix, juliet: Slix) -> None:
    """Messages both ways, in their order, and a request each way."""
    # Prosody puts what comes while it is being authenticated before what waited for that.
    await juliet.fence(romeo.jid)
    await romeo.fence(juliet.jid)
    for turn in range(30):
        romeo.message(juliet.jid, f"from here {turn}")
        juliet.message(romeo.jid, f"from there {turn}")
    for turn in range(30):
        for client, sender, way in ((juliet, romeo, "here"), (romeo, juliet, "there")):
            first = await client.inbox.expect("any message", lambda s: s.tag == "{jabber:client}message")
            assert first.findtext("{jabber:client}body") == f"from {way} {turn}", "the order is kept"
            assert first.get("from") == sender.jid
    await romeo.fence(juliet.jid)
    await juliet.fence(romeo.jid)


@scenario(servers=ONLY_HERE)
async def people_of_two_servers_talk_and_see_each_other_by_dialback(stage: Stage):
    async with two_servers(stage, secure=False) as (here, there):
        romeo, juliet = await people(here, there)
        await talk(romeo, juliet)
        await befriend(romeo, juliet)
        juliet.send("<presence><show>away</show><status>on the balcony</status></presence>")
        await romeo.inbox.presence(juliet.jid, status="on the balcony")
        romeo.send("<presence><status>in the garden</status></presence>")
        await juliet.inbox.presence(romeo.jid, status="in the garden")
        await juliet.close()
        await romeo.inbox.presence(juliet.jid, "unavailable")
        log = here.server.log_file.read_text()
        assert "proof=Dialback" in log and "proof=Certificate" not in log, "nobody has a certificate that counts"


@scenario(servers=ONLY_HERE)
async def people_of_two_servers_talk_by_certificate(stage: Stage):
    async with two_servers(stage, secure=True, managed=True) as (here, there):
        romeo, juliet = await people(here, there)
        await talk(romeo, juliet)
        await subscribe(romeo, juliet)
        log = here.server.log_file.read_text()
        assert "proof=Certificate" in log and "proof=Dialback" not in log, "certificates are required"


@scenario(servers=ONLY_HERE)
async def people_of_two_servers_talk_over_direct_tls(stage: Stage):
    async with two_servers(stage, secure=True, port="5270", tls="tls:") as (here, there):
        romeo, juliet = await people(here, there)
        await talk(romeo, juliet)


@scenario(servers=ONLY_HERE)
async def a_server_without_the_certificate_that_is_required_is_refused_and_its_people_are_told(stage: Stage):
    async with two_servers(stage, secure=False) as (here, there):
        server = here.server
        await asyncio.to_thread(server.stop)
        server._replace("[tls]", "[tls]\nrequire_server_certificate = true")
        await asyncio.to_thread(server.start)
        romeo, juliet = await people(here, there)
        romeo.message(juliet.jid, "are you who you are?")
        error = await romeo.inbox.expect("an error", lambda s: s.get("type") == "error")
        assert error.find(".//{urn:ietf:params:xml:ns:xmpp-stanzas}remote-server-timeout") is not None
        assert "certificate" in error.findtext(".//{urn:ietf:params:xml:ns:xmpp-stanzas}text")
        juliet.message(romeo.jid, "are you who you are?")
        error = await juliet.inbox.expect("an error", lambda s: s.get("type") == "error")


@scenario(servers=ONLY_HERE)
async def a_user_here_is_in_a_room_there(stage: Stage):
    async with two_servers(stage, secure=False) as (here, there):
        romeo, juliet = await people(here, there)
        room = f"garden@rooms.{PEER}"
        await enter_new(juliet, room, "juliet")
        await instant(juliet, room)
        ask(romeo, room, "romeo")
        await romeo.inbox.presence(f"{room}/romeo")
        await juliet.inbox.presence(f"{room}/romeo")
        romeo.message(room, "to all", "groupchat")
        await juliet.inbox.message("to all", from_=f"{room}/romeo")
        await romeo.inbox.message("to all", from_=f"{room}/romeo")
        juliet.message(room, "welcome", "groupchat")
        await romeo.inbox.message("welcome", from_=f"{room}/juliet")


@scenario(servers=ONLY_HERE)
async def either_server_may_restart(stage: Stage):
    async with two_servers(stage, secure=False) as (here, there):
        romeo, juliet = await people(here, there)
        await talk(romeo, juliet)
        await asyncio.to_thread(there.server.stop)
        # What finds nobody there says so.
        romeo.message(juliet.jid, "are you there?")
        error = await romeo.inbox.expect("an error", lambda s: s.get("type") == "error")
        assert error.find(".//{urn:ietf:params:xml:ns:xmpp-stanzas}remote-server-timeout") is not None
        await asyncio.to_thread(there.server.start)
        back = await Slix(there, Account(juliet.account.jid, juliet.account.password), "back").login()
        back.message(romeo.jid, "here I am")
        await romeo.inbox.message("here I am", from_=back.jid)


async def a_server_dies(stage: Stage, counts: bool) -> None:
    """In the middle of 600 messages to it. It counts them only where certificates prove the domains."""
    async with two_servers(stage, secure=counts, managed=counts) as (here, there):
        romeo, juliet = await people(here, there)
        await talk(romeo, juliet)

        async def flow():
            for number in range(600):
                romeo.send(f"<message to='{juliet.jid}' type='chat' id='n{number}'><body>{number}</body></message>")
                if number % 20 == 0:
                    await romeo.settle()

        flowing = asyncio.create_task(flow())
        await juliet.inbox.expect("one in the middle", lambda s: s.get("id") == "n200")
        await asyncio.to_thread(there.server.kill)
        await flowing
        returned = 0
        for number in range(600):
            if number != 200 and juliet.inbox.find(lambda s: s.get("id") == f"n{number}") is None:
                error = await romeo.inbox.expect(f"number {number}, returned", lambda s: s.get("id") == f"n{number}")
                assert error.get("type") == "error"
                assert error.find(".//{urn:ietf:params:xml:ns:xmpp-stanzas}remote-server-timeout") is not None
                returned += 1
        assert returned > 0, "the server died in the middle"


@scenario(servers=ONLY_HERE)
async def when_a_server_dies_that_counts_every_message_for_it_has_arrived_or_comes_back(stage: Stage):
    await a_server_dies(stage, counts=True)


@scenario(servers=ONLY_HERE)
async def when_a_server_dies_that_does_not_count_every_message_for_it_has_arrived_or_comes_back(stage: Stage):
    await a_server_dies(stage, counts=False)
