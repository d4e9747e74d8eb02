"""What another server may try, byte by byte, each with its end, its line in the log, and another server that does not notice."""

import asyncio
import contextlib
import itertools
import pathlib
import re
import ssl
import subprocess
import tempfile
import time

from harness.certs import Certificates
from harness.names import Names
from harness.scenario import TIMEOUT, Stage, scenario
from harness.servers import free_address
from harness.slix import Slix

from .operations import ONLY_HERE, own_server, tercet

GOOD, EVIL = "good.test", "evil.test"
DIALBACK = "xmlns:db='jabber:server:dialback'"
ERRORS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"
_addresses = itertools.count(200)


def header(from_: str, to: str, more: str = "") -> str:
    return (f"<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' "
            f"{DIALBACK} from='{from_}' to='{to}' version='1.0' {more}>")


class Line:
    """A connection between servers, whoever opened it, over TLS from the first byte."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer
        self.text = ""
        self.ended = False

    def send(self, text: str) -> None:
        self._writer.write(text.encode())

    async def until(self, pattern: str, timeout: float = TIMEOUT) -> re.Match:
        """Waits for what fits, and takes all up to its end."""
        deadline = time.monotonic() + timeout
        while not (found := re.search(pattern, self.text, re.DOTALL)):
            assert not self.ended, f"ended before {pattern!r}: {self.text!r}"
            async with asyncio.timeout(max(0.01, deadline - time.monotonic())):
                await self._read()
        self.text = self.text[found.end():]
        return found

    async def end(self, timeout: float = TIMEOUT) -> str:
        """Waits for the connection's end; returns what came before it."""
        async with asyncio.timeout(timeout):
            while not self.ended:
                await self._read()
        return self.text

    async def close(self) -> None:
        self._writer.close()

    async def _read(self) -> None:
        try:
            got = await self._reader.read(65536)
        except (OSError, ssl.SSLError):
            got = b""
        self.ended = not got
        self.text += got.decode(errors="replace")


class Other:
    """Another server, of which a scenario says what it does: `answer` is given each connection that is made to it."""

    def __init__(self, domain: str, names: Names, folder: pathlib.Path, certificates=None):
        self.domain, self.folder = domain, folder
        self.address = free_address(next(_addresses))
        self.chain, self.key = certificates or (None, None)
        self.answer = self.believe
        self.stanzas: asyncio.Queue[str] = asyncio.Queue()
        self.lines: list[Line] = []
        names.host(domain, self.address)
        names.service(f"_xmpps-server._tcp.{domain}", domain, 5270)

    async def listen(self) -> "Other":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.chain, self.key)

        async def serve(reader, writer):
            with contextlib.suppress(OSError, AssertionError, TimeoutError, ssl.SSLError):
                line = Line(reader, writer)
                self.lines.append(line)
                await self.answer(line)

        self._server = await asyncio.start_server(serve, self.address, 5270, ssl=context)
        return self

    async def believe(self, line: Line) -> None:
        """Takes every key, says that every key is its own, and keeps the stanzas."""
        asked = await line.until(r"<stream:stream[^>]*>")
        to = re.search(r"from='([^']*)'", asked[0])[1]
        line.send(header(self.domain, to, "id='abc'") + f"<stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>")
        while True:
            found = await line.until(r"<db:result[^>]*>[^<]*</db:result>|<db:verify[^>]*>[^<]*</db:verify>|"
                                     r"<(message|iq|presence)\b.*?(</\1>|<\1[^>]*/>)|</stream:stream>", 60)
            ours, theirs = (re.search(rf"{name}=['\"]([^'\"]*)", found[0]) for name in ("to", "from"))
            if found[0].startswith("<db:result"):
                line.send(f"<db:result from='{ours[1]}' to='{theirs[1]}' type='valid'/>")
            elif found[0].startswith("<db:verify"):
                id_ = re.search(r"id=['\"]([^'\"]*)", found[0])[1]
                line.send(f"<db:verify from='{ours[1]}' to='{theirs[1]}' id='{id_}' type='{self.says(found[0])}'/>")
            elif found[0].startswith("</"):
                line.send("</stream:stream>")
                return
            else:
                if "urn:xmpp:ping" not in found[0]:
                    self.stanzas.put_nowait(found[0])

    def says(self, verify: str) -> str:
        """Whether a key is its own: the one that it uses is `my-key`."""
        return "valid" if ">my-key<" in verify else "invalid"

    async def connect(self, here: Stage) -> Line:
        """A connection of its own, with its certificate, and the header; TLS is direct."""
        context = ssl.create_default_context(cafile=str(here.server.ca_file))
        context.load_cert_chain(self.chain, self.key)
        context.set_alpn_protocols(["xmpp-server"])
        reader, writer = await asyncio.open_connection(here.server.address, 5270, ssl=context, server_hostname=here.server.domain,
                                                       local_addr=(self.address, 0))
        line = Line(reader, writer)
        self.lines.append(line)
        line.send(header(self.domain, here.server.domain))
        await line.until("</stream:features>")
        return line

    async def authenticated(self, here: Stage) -> Line:
        """The same, and its domain is known by a key."""
        line = await self.connect(here)
        line.send(f"<db:result from='{self.domain}' to='{here.server.domain}'>my-key</db:result>")
        assert "type='valid'" in (await line.until("<db:result[^>]*>"))[0].replace('"', "'")
        return line

    async def close(self) -> None:
        self._server.close()
        for line in self.lines:
            await line.close()


class Scene:
    """Our server, one that behaves, and one that does not."""

    def __init__(self, here: Stage, good: Other, evil: Other):
        self.here, self.good, self.evil = here, good, evil

    async def logged(self, *words: str) -> None:
        """Waits for a line in the log with all these words."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            for line in self.here.server.log_file.read_text(errors="replace").splitlines():
                if all(word in line for word in words):
                    return
            assert time.monotonic() < deadline, f"no line in the log with {words}"
            await asyncio.sleep(0.05)

    async def others_go_on(self, romeo: Slix, line: Line) -> None:
        """The server that behaves is heard, and hears, within a second."""
        number = next(_numbers)
        began = time.monotonic()
        line.send(f"<message from='x@{GOOD}/r' to='{romeo.jid}' type='chat'><body>good {number}</body></message>")
        await romeo.inbox.message(f"good {number}")
        romeo.send(f"<message to='x@{GOOD}/r' type='chat'><body>back {number}</body></message>")
        while f"back {number}" not in await asyncio.wait_for(self.good.stanzas.get(), TIMEOUT):
            pass
        assert time.monotonic() - began < 1, "others have to wait"


_numbers = itertools.count(1)


def made(folder: pathlib.Path, name: str, sans: list[str], *, authority: Certificates | None, days: tuple[str, str] | None = None):
    """A certificate with these names: of the authority, or of itself; from and until, if it is not valid now."""
    chain, key, request = (folder / f"{name}.{end}" for end in ("pem", "key", "csr"))
    names = folder / f"{name}.ext"
    names.write_text("extendedKeyUsage=serverAuth,clientAuth\n" + "subjectAltName=" + ",".join(f"DNS:{n}" for n in sans) + "\n")

    def openssl(*words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, stdin=subprocess.DEVNULL)

    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", request, "-subj", "/CN=x")
    times = ["-days", "2"]
    if authority is None:
        openssl("x509", "-req", "-in", request, "-signkey", key, "-out", chain, "-extfile", names, *times)
    elif days is None:
        openssl("x509", "-req", "-in", request, "-CA", authority.ca_file, "-CAkey", authority._ca_key, "-CAcreateserial",
                "-out", chain, "-extfile", names, *times)
    else:
        place = folder / f"{name}.ca"
        place.mkdir()
        (place / "index").write_text("")
        (place / "serial").write_text("01\n")
        settings = place / "ca.cnf"
        settings.write_text(f"[ca]\ndefault_ca=d\n[d]\nnew_certs_dir={place}\ndatabase={place}/index\nserial={place}/serial\n"
                            "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
        openssl("ca", "-batch", "-notext", "-config", settings, "-cert", authority.ca_file, "-keyfile", authority._ca_key, "-in", request,
                "-out", chain, "-extfile", names, "-startdate", days[0], "-enddate", days[1])
    return chain, key


@contextlib.asynccontextmanager
async def scene(stage: Stage, settings: str = "", limits: str = "", tls: str = "", evil=None):
    """`evil`: makes the certificate of the one that does not behave, from a folder and the authority that ours trusts."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="attack-", dir=stage.server.folder.parent))
    async with own_server(stage, start=False) as here:
        server = here.server
        names = Names(server.address)
        for name in (server.domain, f"rooms.{server.domain}"):
            names.host(name, server.address)
        authority = server.certificates
        good = Other(GOOD, names, folder, made(folder, "good", [GOOD], authority=authority))
        bad = Other(EVIL, names, folder, evil(folder, authority) if evil else made(folder, "evil", [EVIL], authority=None))
        server._replace("addresses = [", "s2s = 5269\ns2s_tls = 5270\naddresses = [")
        server._replace("rates = false", f"rates = false\n{limits}")
        server._replace("[tls]", f"[tls]\n{tls}")
        with open(server.config, "a", encoding="utf-8") as config:
            config.write(f'\n[federation]\ndns_servers = ["{names.address}:{names.port}"]\n{settings}\n')
        await asyncio.to_thread(server.start)
        await good.listen()
        await bad.listen()
        here.names = names
        try:
            yield Scene(here, good, bad)
        except Exception:
            stage.note(server.log_tail(100))
            raise
        finally:
            await good.close()
            await bad.close()
            names.close()


CERTIFICATES = {
    "expired": (lambda folder, ca: made(folder, "evil", [EVIL], authority=ca, days=("20200101000000Z", "20200201000000Z")), "has expired"),
    "self_signed": (lambda folder, ca: made(folder, "evil", [EVIL], authority=None), "self-signed"),
    "for_another_name": (lambda folder, ca: made(folder, "evil", ["other.test", f"*.{EVIL}"], authority=ca), "other.test"),
    "from_an_unknown_authority": (lambda folder, ca: made(folder, "evil", [EVIL], authority=Certificates(folder / "unknown", ["x.test"])),
                                  "unknown authority"),
}


def _certificate(name: str, make, words: str):
    async def a_certificate(stage: Stage):
        async with scene(stage, evil=make, tls="require_server_certificate = true") as s:
            romeo = await Slix(s.here, await s.here.account("romeo")).login()
            # From there: nothing but its certificate could prove it, and that does not.
            line = await s.evil.connect(s.here)
            line.send(f"<message from='x@{EVIL}' to='{romeo.jid}'><body>in</body></message>")
            assert "<not-authorized" in await line.end()
            line = await s.evil.connect(s.here)
            line.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")
            await line.until("<failure[^>]*>.*?</failure>")
            await s.logged("certificate does not prove", f"remote={EVIL}", words)
            # To there: nothing is sent, and the sender is told.
            romeo.message(f"x@{EVIL}", "out")
            error = await romeo.inbox.expect("an error", lambda e: e.get("type") == "error" and e.get("from") == f"x@{EVIL}")
            assert error.find(f".//{ERRORS}remote-server-timeout") is not None
            assert "certificate" in error.findtext(f".//{ERRORS}text")
            assert s.evil.stanzas.empty()
            await s.logged("out of reach", f"remote={EVIL}", "certificate")
            romeo.inbox.no_message("in")
            # The one whose certificate is right is not concerned.
            good = await s.good.connect(s.here)
            good.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")
            await good.until("<success")
            good.text = ""
            good.send(header(GOOD, s.here.server.domain))
            await good.until("</stream:features>")
            good.send(f"<message from='x@{GOOD}/r' to='{romeo.jid}'><body>right</body></message>")
            await romeo.inbox.message("right")
            status, text = await tercet(s.here.server, "federation", "show", EVIL)
            assert status == 0 and "certificate" in text, text

    a_certificate.__name__ = f"a_certificate_that_is_{name}_proves_nothing"
    a_certificate.__module__ = __name__
    scenario(a_certificate, servers=ONLY_HERE)


for _name, (_make, _words) in CERTIFICATES.items():
    _certificate(_name, _make, _words)


@contextlib.asynccontextmanager
async def by_dialback(stage: Stage, **how):
    """A scene in which dialback is enough; Romeo, and a stream on which the one that behaves is known."""
    async with scene(stage, **how) as s:
        romeo = await Slix(s.here, await s.here.account("romeo")).login()
        good = await s.good.authenticated(s.here)
        yield s, romeo, good


@scenario(servers=ONLY_HERE)
async def a_key_that_is_wrong_or_replayed_proves_nothing(stage: Stage):
    async with by_dialback(stage) as (s, romeo, good):
        domain = s.here.server.domain
        line = await s.evil.connect(s.here)
        line.send(f"<db:result from='{EVIL}' to='{domain}'>no-key</db:result>")
        assert "invalid" in (await line.until("<db:result[^>]*>"))[0]
        line.send(f"<message from='x@{EVIL}' to='{romeo.jid}'><body>wrong</body></message>")
        await line.end()
        await s.logged("failed to prove its domain", f"remote={EVIL}", "its domain does not know")
        # A key of ours, from a stream that we opened, shown on another in our own name, or in that of the other server.
        romeo.message(f"x@{EVIL}", "let us see your key")
        seen = {}

        async def listening(line: Line):
            asked = await line.until(r"<stream:stream[^>]*>")
            line.send(header(EVIL, domain, "id='abc'") + "<stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>")
            seen["key"] = (await line.until(r"<db:result[^>]*>([^<]*)</db:result>"))[1]
            await asyncio.sleep(3600)

        s.evil.answer = listening
        romeo.message(f"x@{EVIL}", "and now?")
        deadline = time.monotonic() + TIMEOUT
        while "key" not in seen and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        s.evil.answer = s.evil.believe
        for claimed in (EVIL, GOOD):
            line = await s.evil.connect(s.here)
            line.send(f"<db:result from='{claimed}' to='{domain}'>{seen.get('key', 'none')}</db:result>")
            assert "invalid" in (await line.until("<db:result[^>]*>"))[0]
        await s.others_go_on(romeo, good)
        romeo.inbox.no_message("wrong")


@scenario(servers=ONLY_HERE)
async def a_stanza_whose_sender_was_not_authenticated_ends_the_stream(stage: Stage):
    async with by_dialback(stage) as (s, romeo, good):
        domain = s.here.server.domain
        for from_ in (f"x@{GOOD}", "x@third.test", f"admin@{domain}", f"hall@rooms.{domain}", f"x@sub.{EVIL}", EVIL.upper() + "x"):
            line = await s.evil.authenticated(s.here)
            line.send(f"<message from='{from_}' to='{romeo.jid}'><body>forged</body></message>")
            assert "<invalid-from" in await line.end()
        await s.logged("stream is ended", f"remote={EVIL}", "invalid-from", "has not proved")
        line = await s.evil.authenticated(s.here)
        line.send(f"<message to='{romeo.jid}'><body>forged</body></message>")
        assert "<improper-addressing" in await line.end()
        await s.logged("stream is ended", f"remote={EVIL}", "improper-addressing")
        await s.others_go_on(romeo, good)
        romeo.inbox.no_message("forged")


@scenario(servers=ONLY_HERE)
async def a_stanza_for_a_domain_that_is_not_ours_ends_the_stream(stage: Stage):
    async with by_dialback(stage) as (s, romeo, good):
        # Of the last one, the DNS says that it is here.
        s.here.names.host("alias.test", s.here.server.address)
        for to in (f"x@{GOOD}", "x@nowhere.test", "x@alias.test"):
            line = await s.evil.authenticated(s.here)
            line.send(f"<message from='x@{EVIL}' to='{to}'><body>relayed</body></message>")
            assert "<host-unknown" in await line.end()
        await s.logged("stream is ended", f"remote={EVIL}", "host-unknown", "not ours")
        line = await s.evil.connect(s.here)
        line.send(f"<db:result from='{EVIL}' to='alias.test'>my-key</db:result>")
        assert "type='error'" in (await line.until("<db:result.*?</db:result>"))[0].replace('"', "'")
        await s.others_go_on(romeo, good)
        assert s.good.stanzas.empty()


@scenario(servers=ONLY_HERE)
async def a_name_that_leads_back_to_ourselves_is_an_error_and_no_loop(stage: Stage):
    async with by_dialback(stage, settings="queue_time = 10") as (s, romeo, good):
        s.here.names.host("alias.test", s.here.server.address)
        s.here.names.service("_xmpp-server._tcp.alias.test", "alias.test", 5269)
        began = time.monotonic()
        romeo.message("x@alias.test", "round and round")
        error = await romeo.inbox.expect("an error", lambda e: e.get("type") == "error" and e.get("from") == "x@alias.test")
        assert error.find(f".//{ERRORS}remote-server-not-found") is not None
        assert time.monotonic() - began < 5
        await s.logged("out of reach", "remote=alias.test")
        await s.others_go_on(romeo, good)


@scenario(servers=ONLY_HERE)
async def a_server_that_never_answers_or_answers_slowly_costs_its_own_people_only(stage: Stage):
    async with by_dialback(stage, settings="queue_time = 5", limits="unauthenticated = 3") as (s, romeo, good):
        async def never(_line: Line):
            await asyncio.sleep(3600)

        async def slowly(line: Line):
            for letter in header(EVIL, s.here.server.domain, "id='abc'"):
                line.send(letter)
                await asyncio.sleep(0.2)

        for number, answer in enumerate((never, slowly)):
            s.evil.answer = answer
            romeo.message(f"x{number}@{EVIL}", "are you there?")
            await s.others_go_on(romeo, good)
            error = await romeo.inbox.expect("an error", lambda e: e.get("type") == "error" and e.get("from") == f"x{number}@{EVIL}", 20)
            assert error.find(f".//{ERRORS}remote-server-timeout") is not None
        await s.logged("out of reach", f"remote={EVIL}")
        # And those who connect and say nothing, or not enough.
        line = await s.evil.connect(s.here)
        assert "<connection-timeout" in await line.end()
        await s.logged("stream is ended", f"remote={EVIL}", "connection-timeout", "no answer in time")
        await s.others_go_on(romeo, good)


@scenario(servers=ONLY_HERE)
async def a_server_that_floods_holds_up_nobody_else(stage: Stage):
    async with by_dialback(stage) as (s, romeo, good):
        line = await s.evil.authenticated(s.here)
        stop = asyncio.Event()

        async def flood():
            piece = "".join(f"<message from='x@{EVIL}/r' to='nobody{n}@{s.here.server.domain}' type='chat'><body>{'x' * 200}</body></message>"
                            for n in range(50))
            with contextlib.suppress(OSError):
                while not stop.is_set() and not line._writer.is_closing():
                    line.send(piece)
                    await line._writer.drain()

        flooding = asyncio.create_task(flood())
        for _ in range(5):
            await s.others_go_on(romeo, good)
            await asyncio.sleep(0.3)
        stop.set()
        await flooding
        # One stanza without an end, and one that is too long.
        line = await s.evil.authenticated(s.here)
        line.send(f"<message from='x@{EVIL}' to='{romeo.jid}'><body>")
        with contextlib.suppress(OSError):
            for _ in range(200):
                line.send("x" * 65536)
                await line._writer.drain()
        assert "<policy-violation" in await line.end()
        await s.logged("stream is ended", f"remote={EVIL}", "policy-violation")
        # Keys without number.
        line = await s.evil.connect(s.here)
        for number in range(2000):
            line.send(f"<db:result from='d{number}.{EVIL}' to='{s.here.server.domain}'>k</db:result>")
        await s.others_go_on(romeo, good)
