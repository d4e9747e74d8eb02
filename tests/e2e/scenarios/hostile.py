"""What clients do to harm the server and each other, as bytes on a socket: the promises of docs/security.md."""

import asyncio
import base64
import hashlib
import hmac
import os
import re
import ssl
import time

from xml.etree import ElementTree

from harness.scenario import TIMEOUT, Account, Stage, scenario

from .operations import own_server

ONLY_HERE = ("tercet",)
HEADER = ("<stream:stream to='{}' version='1.0' xmlns='jabber:client' xmlns:out='urn:outside'"
          " xmlns:stream='http://etherx.jabber.org/streams'>")
AUTH = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{}'>{}</auth>"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Raw:
    """A connection that sends any bytes."""

    def __init__(self, stage: Stage, domain: str):
        self._stage, self.domain, self.jid = stage, domain, ""
        self._text, self._ended = "", False

    @classmethod
    async def open(cls, stage: Stage, domain: str | None = None, *, tls: bool = False, header: bool = True) -> "Raw":
        raw = cls(stage, domain or stage.server.domain)
        context = ssl.create_default_context(cafile=str(stage.server.ca_file)) if tls else None
        port = stage.server.tls_port if tls else stage.server.c2s_port
        raw._reader, raw._writer = await asyncio.open_connection(
            stage.server.address, port, ssl=context, server_hostname=raw.domain if tls else None)
        stage.joined(raw)
        if header:
            await raw.header()
        return raw

    @classmethod
    async def login(cls, stage: Stage, account: Account, resource: str | None = None, *, available=True) -> "Raw":
        raw = await cls.open(stage, account.domain, tls=True)
        await raw.exchange(AUTH.format("PLAIN", encoded(f"\0{account.local}\0{account.password}")), "<success")
        await raw.header()
        wanted = f"<resource>{resource}</resource>" if resource else ""
        bound = await raw.exchange(
            f"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{wanted}</bind></iq>", "</iq>")
        raw.jid = re.search("<jid>(.*?)</jid>", bound)[1]
        if available:
            await raw.exchange("<presence/>", f"<presence[^>]*from='{re.escape(raw.jid)}'[^>]*>")
        return raw

    def send(self, data: str | bytes) -> None:
        self._writer.write(data if isinstance(data, bytes) else data.encode())

    async def drain(self) -> None:
        await self._writer.drain()

    async def header(self) -> None:
        await self.exchange(HEADER.format(self.domain), "</stream:features>")

    async def until(self, pattern: str, seconds: float = TIMEOUT) -> str:
        """Everything up to the first match."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self._text, re.S)):
            assert not self._ended, f"the stream ended before {pattern!r}: {self._text[-500:]}"
            await self._read(deadline, pattern)
        text, self._text = self._text[:found.end()], self._text[found.end():]
        return text

    async def exchange(self, data: str | bytes, pattern: str) -> str:
        self.send(data)
        return await self.until(pattern)

    async def end(self, seconds: float = TIMEOUT) -> str:
        """Everything until the server closes."""
        deadline = time.monotonic() + seconds
        while not self._ended:
            await self._read(deadline, "the end")
        return self._text

    async def settled(self) -> str:
        """Everything that came before the answer to a ping."""
        mark = os.urandom(6).hex()
        return await self.exchange(f"<iq type='get' id='{mark}' to='{self.domain}'><ping xmlns='urn:xmpp:ping'/></iq>",
                                   f"<iq[^>]*id='{mark}'[^>]*/>")

    def hold(self) -> None:
        """Reads no more."""
        self._writer.transport.pause_reading()

    def read_on(self) -> None:
        self._writer.transport.resume_reading()

    async def close(self) -> None:
        self._writer.transport.abort()

    def seen(self) -> str:
        return self._text[-1000:]

    def __str__(self) -> str:
        return f"raw {self.jid or 'connection'}"

    async def _read(self, deadline: float, wanted: str) -> None:
        try:
            async with asyncio.timeout(max(0.01, deadline - time.monotonic())):
                data = await self._reader.read(1 << 16)
        except TimeoutError:
            raise AssertionError(f"no {wanted!r} in time: {self._text[-500:]}") from None
        except (ConnectionError, ssl.SSLError):
            data = b""
        self._ended |= not data
        self._text += data.decode(errors="replace")


def condition(text: str) -> str | None:
    found = re.search("<stream:error><([a-z-]+)", text)
    return found and found[1]


BAD = {
    "policy-violation": [
        "<message><body>" + "x" * 300_000, "<" + "x" * 300_000, "<message a='" + "x" * 300_000, "<message>" + "<a>" * 20_000,
        "<message><a " + " ".join(f"a{n}='1'" for n in range(65)) + "/></message>", "<message>" + "<a/>" * 20_000,
        "<message><" + "n" * 300 + "/></message>",
        "<message>" + "".join(f"<a {' '.join(f'xmlns:n{m}x{n}=%r' % f'u:{n}' for n in range(60))}>" for m in range(3)),
    ],
    "restricted-xml": ["<!-- -->", "<message><!-- --></message>", "<?a b?>", "<!DOCTYPE a [<!ENTITY b 'c'>]>",
                       "<message>&b;</message>", "<message a='&b;'/>"],
    "not-well-formed": [b"<message>\xff</message>", b"<message>\xc0\xbc</message>", b"<message>\xed\xa0\x80</message>",
                        b"<message>\0</message>", "<message>&#0;</message>", "<message a='&#x110000;'/>",
                        "<message a='1' a='2'/>", "<message a='<'/>", "<message></presence>",
                        "<message>]]></message>", "<a:message/>"],
    "invalid-xml|not-well-formed|bad-format": ["text", "&#32;", "<![CDATA[]]>"],
    "unsupported-stanza-type|invalid-namespace": ["<foo/>", "<message xmlns='jabber:server'/>"],
}


@scenario(servers=ONLY_HERE)
async def forbidden_xml_and_broken_limits_end_the_stream_before_and_after_a_login(stage: Stage):
    account = await stage.account("mallory")
    for wanted, inputs in BAD.items():
        for data in inputs:
            for logged_in in (False, True):
                raw = await (Raw.login(stage, account, available=False) if logged_in else Raw.open(stage))
                raw.send(data)
                got = condition(await raw.end())
                early = not logged_in and got == "not-authorized"
                assert early or got in wanted.split("|"), (data[:60], logged_in, got)
                await raw.close()


@scenario(servers=ONLY_HERE)
async def what_is_relayed_means_what_was_sent(stage: Stage):
    romeo, juliet = await stage.account("romeo"), await stage.account("juliet")
    sender, reader = await Raw.login(stage, romeo), await Raw.login(stage, juliet, "r")
    bodies = [
        "<body>a&#13;b&#xD;\r\nc\rd&#10;e\u2028\u0085</body>", "<x xmlns='u:x' a='1\n2\t3&#10;4&#9;5&#13;6\r\n7'/>",
        "<body><![CDATA[<b>&amp;]]]]><![CDATA[></body>]]></body>", "<out:a out:b='1' b='2'><out:c/><d/></out:a>",
        "<out:a xmlns='u:d'><b xmlns=''/></out:a>", "<out:a xmlns:out='u:other'><out:b/></out:a><out:c/>",
        "<body>&lt;/body&gt;&lt;/message&gt;&amp;lt;</body>", '<body a="\'&quot;" b=\'"&apos;\'>x</body>',
        "<a xmlns='u:1'><b xmlns='u:2'><c xmlns='u:1'/></b><d/></a>", "<stream:a xmlns:stream='u:x'/>",
        "<message to='evil@x' from='admin@x'><body/></message>", "<a xmlns='u:a&amp;&lt;&#39;' xml:lang='de'> x </a>",
    ]
    header = HEADER.format(stage.server.domain)

    def meaning(stanza: str):
        root = ElementTree.fromstring(f"{header}{stanza}</stream:stream>")
        assert len(root) == 1, stanza
        return [shape(child) for child in root[0]]

    def shape(element):
        return element.tag, sorted(element.attrib.items()), element.text or "", [(shape(c), c.tail or "") for c in element]

    for number, body in enumerate(bodies):
        sent = f"<message to='{reader.jid}'>{body}<end xmlns='u:end'>{number}</end></message>"
        sender.send(sent)
        # The archive's id of it (XEP-0359) is the only thing that the server adds.
        stamp = f"<stanza-id [^>]*by='{juliet.jid}'/>"
        got = await reader.until(f">{number}</end>({stamp})?</message>")
        # Others may have written before.
        got = re.sub(stamp, "", got[got.rindex(f"<message from='{sender.jid}'"):])
        assert meaning(got) == meaning(sent), (sent, got)


@scenario(servers=ONLY_HERE)
async def layers_and_names_do_not_mix(stage: Stage):
    mallory, juliet = await stage.account("mallory"), await stage.account("juliet")
    plain = AUTH.format("PLAIN", encoded(f"\0{mallory.local}\0{mallory.password}"))
    starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
    for tls, data in [(False, starttls + plain), (False, starttls + "<stream"), (True, plain + HEADER.format(juliet.domain))]:
        raw = await Raw.open(stage, tls=tls)
        raw.send(data)
        assert condition(await raw.end()) == "policy-violation", data
    refused = {
        f"{juliet.jid}\0{mallory.local}\0{mallory.password}": "invalid-authzid",
        f"\0{mallory.local}\0{mallory.password}\0": "malformed-request",
        f"\0{mallory.local}\0wrong": "not-authorized",
        f"\0nobody\0{mallory.password}": "not-authorized",
    }
    for message, failure in refused.items():
        raw = await Raw.open(stage, tls=True)
        assert f"<{failure}/>" in await raw.exchange(AUTH.format("PLAIN", encoded(message)), "</failure>")
    raw = await Raw.open(stage, tls=True)
    downgraded = AUTH.format("SCRAM-SHA-256", encoded(f"y,,n={mallory.local},r=abcdefgh"))
    assert "<not-authorized/>" in await raw.exchange(downgraded, "</failure>")
    for spoofed in (juliet.jid, juliet.domain, f"{mallory.jid}/other", "@"):
        raw = await Raw.login(stage, mallory, available=False)
        raw.send(f"<message from='{spoofed}' to='{juliet.jid}'/>")
        assert condition(await raw.end()) == "invalid-from", spoofed


@scenario(servers=ONLY_HERE)
async def a_stream_has_ten_tries_and_proofs_count_once(stage: Stage):
    account = await stage.account("juliet")
    raw = await Raw.open(stage, tls=True)
    for _ in range(10):
        await raw.exchange(AUTH.format("PLAIN", encoded(f"\0{account.local}\0wrong")), "</failure>")
    assert condition(await raw.end()) == "policy-violation"

    first = f"n={account.local},r=abcdefgh"
    streams = [await Raw.open(stage, tls=True) for _ in range(2)]
    challenges = [await raw.exchange(AUTH.format("SCRAM-SHA-1", encoded("n,," + first)), "</challenge>") for raw in streams]
    server = base64.b64decode(re.search(">([A-Za-z0-9+/=]+)</challenge", challenges[0])[1]).decode()
    parts = dict(part.split("=", 1) for part in server.split(","))
    salted = hashlib.pbkdf2_hmac("sha1", account.password.encode(), base64.b64decode(parts["s"]), int(parts["i"]))
    key = hmac.digest(salted, b"Client Key", "sha1")
    final = f"c=biws,r={parts['r']}"
    signature = hmac.digest(hashlib.sha1(key).digest(), f"{first},{server},{final}".encode(), "sha1")
    proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature))).decode()
    response = f"<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{encoded(f'{final},p={proof}')}</response>"
    assert "<success" in await streams[0].exchange(response, "</success>")
    assert "<not-authorized/>" in await streams[1].exchange(response, "</failure>")


@scenario(servers=ONLY_HERE)
async def a_request_for_another_account_acts_on_neither_and_unknown_names_look_known(stage: Stage):
    mallory, juliet = await stage.account("mallory"), await stage.account("juliet")
    raw = await Raw.login(stage, mallory)
    known, unknown = juliet.jid, stage.nobody("nobody").jid
    payloads = [
        "<query xmlns='jabber:iq:register'><remove/></query>", "<query xmlns='jabber:iq:private'><a xmlns='u:a'/></query>",
        f"<query xmlns='jabber:iq:register'><username>{juliet.local}</username><password>x</password></query>",
        "<vCard xmlns='vcard-temp'><FN>x</FN></vCard>", "<query xmlns='jabber:iq:roster'><item jid='e@x'/></query>",
        "<block xmlns='urn:xmpp:blocking'><item jid='e@x'/></block>", "<unblock xmlns='urn:xmpp:blocking'/>",
    ]
    for payload in payloads:
        for to in (known, unknown):
            answer = await raw.exchange(f"<iq type='set' id='s' to='{to}'>{payload}</iq>", "</iq>")
            assert "<forbidden" in answer, answer
    own = await raw.exchange("<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>", "id='g'.*?(</iq>|/></iq>)")
    assert "<item" not in own, own

    questions = [f"<iq type='{kind}' id='q' to='NAME{place}'><{name} xmlns='{ns}'/></iq>"
                 for kind in ("get", "set") for place in ("", "/gone") for name, ns in [
                     ("query", "jabber:iq:last"), ("query", "jabber:iq:version"), ("vCard", "vcard-temp"),
                     ("query", "http://jabber.org/protocol/disco#info"), ("query", "http://jabber.org/protocol/disco#items"),
                     ("ping", "urn:xmpp:ping"), ("time", "urn:xmpp:time"), ("blocklist", "urn:xmpp:blocking"),
                     ("command", "http://jabber.org/protocol/commands"), ("query", "urn:nothing")]]
    questions += [f"<message to='NAME{place}' id='q' type='{kind}'><body>x</body></message>" for place in ("", "/gone")
                  for kind in ("chat", "normal", "headline", "groupchat", "error")]
    questions += [f"<presence to='NAME{place}' id='q' type='{kind}'/>" for place in ("", "/gone")
                  for kind in ("probe", "unavailable", "error")]
    for question in questions:
        answers = set()
        for name in (known, unknown):
            raw.send(question.replace("NAME", name))
            answers.add(re.sub("<iq[^>]*id='[0-9a-f]{12}'[^>]*/>", "", await raw.settled()).replace(name, "NAME"))
        assert len(answers) == 1, answers


@scenario(servers=ONLY_HERE)
async def floods_meet_limits_and_nobody_else_waits(stage: Stage):
    victim, mallory, watcher = [await stage.account(name) for name in ("juliet", "mallory", "nurse")]
    for number in range(8):
        stranger = await Raw.login(stage, await stage.account(f"stranger{number}"), available=False)
        await stranger.exchange(f"<presence type='subscribe' to='{victim.jid}'><status>{'x' * 250_000}</status></presence>"
                                f"<iq type='get' id='p'><query xmlns='jabber:iq:roster'/></iq>", "id='p'.*?</iq>")
    logged_in = await Raw.login(stage, victim, "slow")
    assert (await logged_in.settled()).count("type='subscribe'") <= 8
    longest = 0.0
    beside = await Raw.login(stage, watcher)
    done = asyncio.Event()

    async def watch():
        nonlocal longest
        while not done.is_set():
            began = time.monotonic()
            await beside.settled()
            longest = max(longest, time.monotonic() - began)
            await asyncio.sleep(0.02)

    watching = asyncio.create_task(watch())
    logged_in.hold()
    sender = await Raw.login(stage, mallory, available=False)
    message = f"<message type='chat' to='{logged_in.jid}'><body>{'y' * 20_000}</body></message>"
    for _ in range(1500):
        sender.send(message)
        await sender.drain()
    await sender.settled()
    logged_in.read_on()
    assert condition(await logged_in.end()) == "resource-constraint"

    private = "<iq type='set' id='f'><query xmlns='jabber:iq:private'><a xmlns='u:{}'>{}</a></query></iq>"
    for number in range(8):
        answer = await sender.exchange(private.format(number, "x" * 200_000), "<iq[^>]*id='f'[^>]*?(/>|>.*?</iq>)")
    assert "<resource-constraint" in answer, answer
    block = "".join(f"<item jid='n{number}@x'/>" for number in range(2000))
    answer = await sender.exchange(f"<iq type='set' id='f'><block xmlns='urn:xmpp:blocking'>{block}</block></iq>",
                                   "<iq[^>]*id='f'[^>]*?(/>|>.*?</iq>)")
    assert "<resource-constraint" in answer, answer
    done.set()
    await watching
    assert longest < 1, f"others waited {longest:.2f} s"


@scenario(servers=ONLY_HERE)
async def short_and_broken_connections_leave_nothing(stage: Stage):
    async with own_server(stage) as alone:
        server = alone.server

        def kept() -> int:
            with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
                return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1])

        async def one(port: int, data: bytes):
            _, writer = await asyncio.open_connection(server.address, port)
            writer.write(data)
            await asyncio.sleep(0)
            writer.transport.abort()

        async def flood(port: int, data: bytes, count: int):
            for _ in range(count // 50):
                await asyncio.gather(*(one(port, data) for _ in range(50)))

        for port, data in [(server.c2s_port, b"<stream:stream a='" + b"x" * 5000),
                           (server.tls_port, b"\x16\x03\x01\x02\x00\x01"), (server.tls_port, os.urandom(4000)),
                           (server.c2s_port, b"GET / HTTP/1.1\r\n\r\n")]:
            await flood(port, data, 300)
            before = kept()
            await flood(port, data, 1000)
            await asyncio.sleep(0.2)
            # KiB: what the allocator keeps for itself, less than 4 for each connection.
            assert kept() - before < 4096, (port, data[:20], before, kept())


@scenario(servers=ONLY_HERE)
async def answers_are_made_no_faster_than_they_are_read(stage: Stage):
    async with own_server(stage) as alone:
        raw = await Raw.login(alone, await alone.account("mallory"))
        for number in range(300):
            raw.send(f"<iq type='set' id='s'><query xmlns='jabber:iq:roster'><item jid='c{number}@x' name='{'n' * 1000}'/></query></iq>")
        await raw.settled()

        def kept() -> int:
            with open(f"/proc/{alone.server.process.pid}/status", encoding="ascii") as status:
                return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1])

        before = kept()
        raw.hold()
        raw.send("<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>" * 1000)
        most = 0
        for _ in range(20):
            await asyncio.sleep(0.05)
            most = max(most, kept())
        # KiB: the answers together are 300 MiB.
        assert most - before < 32_768, (before, most)
