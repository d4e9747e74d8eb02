"""Measures many other servers at once: each of N domains connects to the server over TLS, proves itself by dialback, and is
connected to in its turn; then one user of the server writes to somebody of each.

domains [--binary PROGRAM] [--domains N]

Prints the memory of an idle pair of streams, the server's CPU for setting one up, how long somebody else waited for an answer
meanwhile, and how long the messages took. Ends with an error if a domain or a message is missing.
"""
import argparse
import asyncio
import os
import pathlib
import re
import ssl
import tempfile
import time

from harness import servers
from harness.certs import Certificates
from harness.scenario import Stage
from harness.slix import Slix

ROOT = pathlib.Path(__file__).resolve().parents[2]

HEADER = ("<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' "
          "xmlns:db='jabber:server:dialback' {} version='1.0'>")
FEATURES = "<stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>"
OPENING = re.compile(r"<stream:stream[^>]* to='([^']*)'[^>]*>")
VERIFY = re.compile(r"<db:verify from='([^']*)' to='([^']*)' id='([^']*)'>[^<]*</db:verify>")
RESULT = re.compile(r"<db:result from='([^']*)' to='([^']*)'>[^<]*</db:result>")
MESSAGE = re.compile(r"<message [^>]*?to='[^@]*@([^/']*)[^>]*>.*?</message>", re.S)
REQUEST = re.compile(r"<iq ([^>]*)>.*?</iq>", re.S)
# To what the server asks behind what it sends.
ANSWER = "<iq from='{}' to='{}' id='{}' type='result'/>"


class Domains:
    """All the other servers: one listener for those that are connected to, and one connection from each."""

    def __init__(self, count: int, server: servers.Server, folder: pathlib.Path):
        self.names = [f"d{number}.test" for number in range(count)]
        self.server = server
        self.address = servers.free_address(120)
        certificates = Certificates(folder / "peers", ["*.test"])
        self.listening = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.listening.load_cert_chain(certificates.chain, certificates.key)
        self.connecting = ssl.create_default_context(cafile=str(server.ca_file))
        self.proven: set[str] = set()
        self.reached: set[str] = set()
        self.open: list = []
        self.answers = ((OPENING, self.opened), (VERIFY, self.asked), (RESULT, self.shown), (MESSAGE, self.told), (REQUEST, self.requested))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The server speaks to one of the domains, or asks about its key."""
        self.open.append(writer)
        text = ""
        try:
            while data := await reader.read(65536):
                text += data.decode()
                for pattern, answer in self.answers:
                    while found := pattern.search(text):
                        writer.write(answer(found).encode())
                        text = text[:found.start()] + text[found.end():]
        except asyncio.CancelledError:
            return  # The measurement is over.

    def opened(self, found: re.Match) -> str:
        return HEADER.format(f"from='{found[1]}' id='{os.urandom(8).hex()}'") + FEATURES

    def asked(self, found: re.Match) -> str:
        return f"<db:verify from='{found[2]}' to='{found[1]}' id='{found[3]}' type='valid'/>"

    def shown(self, found: re.Match) -> str:
        return f"<db:result from='{found[2]}' to='{found[1]}' type='valid'/>"

    def told(self, found: re.Match) -> str:
        self.reached.add(found[1])
        return ""

    def requested(self, found: re.Match) -> str:
        head = dict(re.findall(r"(\w+)='([^']*)'", found[1]))
        return ANSWER.format(head["to"], head["from"], head["id"]) if head.get("type") == "get" else ""

    async def connect(self, name: str) -> None:
        """One domain connects, proves itself, and asks something that is answered over the other direction."""
        reader, writer = await asyncio.open_connection(self.server.address, 5270, ssl=self.connecting, server_hostname=self.server.domain)
        self.open.append(writer)
        writer.write(HEADER.format(f"from='{name}' to='{self.server.domain}'").encode())
        await reader.readuntil(b"</stream:features>")
        writer.write(f"<db:result from='{name}' to='{self.server.domain}'>key</db:result>".encode())
        text = b""
        while b"type='valid'" not in text:
            data = await reader.read(4096)
            if not data:
                raise SystemExit(f"{name} was refused: {text.decode()}")
            text += data
        self.proven.add(name)
        writer.write(f"<iq type='get' id='q' from='{name}' to='{self.server.domain}'><ping xmlns='urn:xmpp:ping'/></iq>".encode())
        self.open.append(asyncio.create_task(self.drain(reader)))

    async def drain(self, reader: asyncio.StreamReader) -> None:
        while await reader.read(65536):
            pass


def resident_kib(pid: int) -> int:
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


def cpu_s(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(server: servers.Server, domains: Domains) -> None:
    listener = await asyncio.start_server(domains.serve, domains.address, 5270, ssl=domains.listening, backlog=4096)
    await asyncio.to_thread(server.start)
    pid, count = server.process.pid, len(domains.names)
    stage = Stage(server, server.folder)
    romeo = await Slix(stage, await stage.account("romeo")).login()
    waits: list[float] = []

    async def ask() -> None:
        while True:
            begin = time.monotonic()
            await romeo.settle()
            waits.append(time.monotonic() - begin)
            await asyncio.sleep(0.1)

    await asyncio.sleep(2)
    idle, cpu, begin = resident_kib(pid), cpu_s(pid), time.monotonic()
    asking, some = asyncio.create_task(ask()), asyncio.Semaphore(50)

    async def one(name: str) -> None:
        async with some:
            await domains.connect(name)

    await asyncio.gather(*(one(name) for name in domains.names))
    took, cpu = time.monotonic() - begin, cpu_s(pid) - cpu
    asking.cancel()
    await asyncio.sleep(15)
    pairs = (resident_kib(pid) - idle) / count
    descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    begin = time.monotonic()
    for name in domains.names:
        romeo.send(f"<message to='juliet@{name}' type='chat'><body>to each</body></message>")
    while len(domains.reached) < count:
        if time.monotonic() - begin > 120:
            raise SystemExit(f"{count - len(domains.reached)} domains have no message")
        await asyncio.sleep(0.05)
    written = time.monotonic() - begin
    print(f"{len(domains.proven)} domains, {descriptors} descriptors: {pairs:.1f} KiB for an idle pair of streams over TLS; "
          f"set up in {took:.0f} s with {cpu * 1000 / count:.2f} ms of the server's CPU each; another user waited at most "
          f"{max(waits) * 1000:.0f} ms for an answer (this program has one thread for all); a message to each after {written:.1f} s")
    await stage.close()
    listener.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "target" / "release" / "tercet"))
    parser.add_argument("--domains", type=int, default=5000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        server = servers.SERVERS["tercet"](place / "server", servers.free_address(100), pathlib.Path(options.binary).resolve())
        domains = Domains(options.domains, server, place)
        server._replace("addresses = [", "s2s = 5269\ns2s_tls = 5270\naddresses = [")
        routes = ", ".join(f'"{name}=tls:{domains.address}:5270"' for name in domains.names)
        with open(server.config, "a", encoding="utf-8") as config:
            config.write(f"\n[federation]\nroutes = [{routes}]\nidle = \"1h\"\n")
        try:
            asyncio.run(measure(server, domains))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
