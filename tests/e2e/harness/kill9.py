"""Acknowledged writes over kill -9.

Writers send roster sets and removals, private XML, vCards, blocks and offline messages as fast as
they are answered. The server is killed at a random moment and started again; then every key must
hold the last value whose result came back, or a later one that was sent. An offline message counts
as acknowledged when the result of a write that its sender sent after it has come; it must also be
in the archives of both ends (XEP-0313), once.
"""

import argparse
import asyncio
import collections
import pathlib
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator

from .inbox import Inbox
from .scenario import Account, Stage
from .servers import SERVERS, Server, ServerFailed, Tercet, free_address
from .slix import LoginRefused
from .strophe import Strophe

WRITERS = 4
IN_FLIGHT = 12
CONTACTS = 25
FENCE = "fence"
MAIL_PER_ROUND = 200
LOAD_SECONDS = (0.05, 1.2)
UNDER_WAY = 0.8
"""The share of the rounds in which all writers write before the moment is drawn; else they may be logging in."""
SPARE_SECONDS = 60
"""What a run may take beyond two seconds a round."""
BAD_LINES = re.compile(r"panicked|\bERROR\b|corrupt")
BODY = "{jabber:client}body"
RESULT = "{urn:xmpp:mam:2}result"


class Key:
    """One stored value: all that was written to it, in order, and how far that was acknowledged."""

    def __init__(self):
        self.written: list[str | None] = [None]
        self.acknowledged = 0

    def write(self, value: str | None) -> int:
        self.written.append(value)
        return len(self.written) - 1

    def settle(self, stored: str | None) -> bool:
        """Whether the value found is allowed; the count then goes on from there."""
        allowed = stored in self.written[self.acknowledged:]
        self.written, self.acknowledged = [stored], 0
        return allowed


class Answers(Inbox):
    """Takes the results of the writes out of what comes."""

    def __init__(self, writer: "Writer"):
        super().__init__()
        self._writer = writer

    def put(self, stanza: ET.Element) -> None:
        if not self._writer.answered(stanza):
            super().put(stanza)


class Writer:
    """One account that writes, and the mailbox that its messages wait in."""

    def __init__(self, account: Account, mailbox: Account):
        self.account, self.mailbox = account, mailbox
        self.keys: dict[str, Key] = collections.defaultdict(Key)
        self.mail: dict[str, bool] = {}
        self.refused: list[str] = []
        self.acknowledged = 0
        self._flight: dict[str, tuple[Key, int, str | None]] = {}
        self._number = 0

    async def write_until_killed(self, stage: Stage) -> None:
        """Writes as fast as the server answers, until it is gone."""
        client = Strophe(stage, self.account, "writer")
        client.inbox = Answers(self)
        self._flight.clear()
        mailed = 0
        await client.login(presence=False)
        client.send("<iq type='get' id='interested'><query xmlns='jabber:iq:roster'/></iq>")
        kinds = self._writes()
        while not client.ended:
            if len(self._flight) >= IN_FLIGHT:
                await asyncio.sleep(0.0005)
                continue
            name, value, payload = next(kinds)
            mail = None
            if name == FENCE and mailed < MAIL_PER_ROUND:
                mailed += 1
                mail = f"mail {value}"
                self.mail[mail] = False
                client.send(f"<message to='{self.mailbox.jid}' type='chat'><body>{mail}</body></message>")
            key = self.keys[name]
            self._flight[f"w{value}"] = (key, key.write(None if value.startswith("-") else value), mail)
            client.send(f"<iq type='set' id='w{value}'>{payload}</iq>")
            await asyncio.sleep(0)

    def answered(self, stanza: ET.Element) -> bool:
        """Notes the answer to a write; whether it was one."""
        write = self._flight.pop(stanza.get("id") or "", None)
        if write is None:
            return False
        key, index, mail = write
        if stanza.get("type") == "result":
            self.acknowledged += 1
            key.acknowledged = max(key.acknowledged, index)
            if mail:
                self.mail[mail] = True
        else:
            self.refused.append(ET.tostring(stanza, encoding="unicode"))
        return True

    async def lost(self, stage: Stage) -> list[str]:
        """Compares what the server has now with what was written; returns what is not as it must be."""
        reader = await Strophe(stage, self.account, "reader").login(presence=False)
        stored: dict[str, str | None] = {}
        for item in (await reader.iq("get", "<query xmlns='jabber:iq:roster'/>")).iter("{jabber:iq:roster}item"):
            stored[f"roster {item.get('jid')}"] = item.get("name")
        for item in (await reader.iq("get", "<blocklist xmlns='urn:xmpp:blocking'/>")).iter("{urn:xmpp:blocking}item"):
            stored[f"block {item.get('jid')}"] = "blocked"
        card = await reader.iq("get", "<vCard xmlns='vcard-temp'/>")
        stored["vcard"] = card.findtext(".//{vcard-temp}FN")
        for name in ("a", "b", FENCE):
            got = await reader.iq("get", f"<query xmlns='jabber:iq:private'><{name} xmlns='urn:kill9:{name}'/></query>")
            stored[name] = got.findtext(f".//{{urn:kill9:{name}}}{name}") or None
        faults = []
        for name, key in self.keys.items():
            found = stored.get(name)
            if name.startswith("block "):
                key.written = [value and "blocked" for value in key.written]
            expected = key.written[key.acknowledged]
            if not key.settle(found):
                faults.append(f"{self.account.jid}: {name}: acknowledged {expected!r}, found {found!r}")
        await reader.close()
        return faults + await self._lost_mail(stage) + [f"refused: {text}" for text in self.refused]

    async def _lost_mail(self, stage: Stage) -> list[str]:
        reader = await Strophe(stage, self.mailbox, "reader").login()
        bodies = [m.findtext(BODY) for m in iter(lambda: reader.inbox.find(lambda s: s.find(BODY) is not None), None)]
        faults = [f"{self.mailbox.jid}: lost {mail!r}" for mail, acknowledged in self.mail.items()
                  if acknowledged and mail not in bodies]
        faults += [f"{self.mailbox.jid}: twice {b!r}" for b, n in collections.Counter(bodies).items() if n > 1]
        for account in (self.account, self.mailbox):
            faults += await self._not_archived(stage, account)
        self.mail.clear()
        await reader.close()
        return faults

    async def _not_archived(self, stage: Stage, account: Account) -> list[str]:
        """What the last page of an archive should hold of this round's messages, and does not."""
        reader = await Strophe(stage, account, "historian").login(presence=False)
        answer = await reader.iq("set", f"<query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'>"
                                        f"<max>{MAIL_PER_ROUND + 50}</max><before/></set></query>")
        results = iter(lambda: reader.inbox.find(lambda s: s.find(RESULT) is not None), None)
        bodies = collections.Counter(result.findtext(f".//{BODY}") for result in results)
        await reader.close()
        if answer.get("type") != "result":
            return []
        faults = [f"{account.jid}: not in the archive: {mail!r}" for mail, acknowledged in self.mail.items()
                  if acknowledged and mail not in bodies]
        return faults + [f"{account.jid}: twice in the archive: {b!r}" for b, n in bodies.items() if n > 1]

    def _writes(self) -> Iterator[tuple[str, str, str]]:
        """Key, value (with a leading `-`: removed), payload of the set, without end."""
        while True:
            for kind in ("contact", "a", FENCE, "contact", "vcard", FENCE, "b", "contact", "block"):
                self._number += 1
                value = str(self._number)
                jid = f"c{random.randrange(CONTACTS)}@example.net"
                if kind == "contact":
                    name = f"roster {jid}"
                    gone = self.keys[name].written[-1] is not None and random.random() < 0.2
                    value = f"-{value}" if gone else value
                    how = "subscription='remove'" if gone else f"name='{value}'"
                    yield name, value, f"<query xmlns='jabber:iq:roster'><item jid='{jid}' {how}/></query>"
                elif kind == "block":
                    name = f"block {jid}"
                    gone = self.keys[name].written[-1] is not None
                    value, verb = (f"-{value}", "unblock") if gone else (value, "block")
                    yield name, value, f"<{verb} xmlns='urn:xmpp:blocking'><item jid='{jid}'/></{verb}>"
                elif kind == "vcard":
                    yield kind, value, f"<vCard xmlns='vcard-temp'><FN>{value}</FN></vCard>"
                else:
                    yield kind, value, (f"<query xmlns='jabber:iq:private'>"
                                        f"<{kind} xmlns='urn:kill9:{kind}'>{value}</{kind}></query>")


async def one_round(server: Server, folder: pathlib.Path, writers: list[Writer]) -> tuple[float, list[str]]:
    """Load, kill, start, compare; returns the time of the start and what is wrong."""
    stage = Stage(server, folder)
    load = [asyncio.ensure_future(writer.write_until_killed(stage)) for writer in writers]
    if random.random() < UNDER_WAY:
        await under_way(writers)
    await asyncio.sleep(random.uniform(*LOAD_SECONDS))
    server.kill()
    results = await asyncio.wait_for(asyncio.gather(*load, return_exceptions=True), 20)
    await stage.close()
    began = time.monotonic()
    server.start()
    started = time.monotonic() - began
    stage = Stage(server, folder)
    try:
        faults = await asyncio.gather(*(writer.lost(stage) for writer in writers))
    finally:
        await stage.close()
    faults = [fault for each in faults for fault in each]
    faults += [f"a writer failed: {error!r}" for error in results
               if isinstance(error, Exception) and not isinstance(error, (OSError, asyncio.TimeoutError, LoginRefused))]
    return started, faults


async def under_way(writers: list[Writer]) -> None:
    """Waits until a write of each writer has been acknowledged in this round."""
    before = [writer.acknowledged for writer in writers]
    async with asyncio.timeout(20):
        while any(writer.acknowledged == count for writer, count in zip(writers, before)):
            await asyncio.sleep(0.005)


async def run(server: Server, folder: pathlib.Path, rounds: int) -> int:
    """Plays the rounds; returns the number of those that failed."""
    server.start()
    writers = []
    for number in range(WRITERS):
        accounts = [Account(f"{name}-{number}@{server.domain}", "secret") for name in ("writer", "mailbox")]
        for account in accounts:
            await server.add_user(account.jid, account.password)
        writers.append(Writer(*accounts))
    failed = 0
    limit = time.monotonic() + 2 * rounds + SPARE_SECONDS
    for number in range(1, rounds + 1):
        before = sum(writer.acknowledged for writer in writers)
        try:
            started, faults = await one_round(server, folder / f"round-{number}", writers)
        except (ServerFailed, AssertionError, asyncio.TimeoutError, LoginRefused) as error:
            started, faults = 0.0, [f"{type(error).__name__}: {error}"]
        if time.monotonic() > limit:
            faults.append("the rounds take too long")
        acknowledged = sum(writer.acknowledged for writer in writers) - before
        print(f"{'FAIL' if faults else 'ok  '} round {number}: {acknowledged} acknowledged writes, "
              f"started again in {started:.2f} s", flush=True)
        for fault in faults[:20]:
            print(f"     {fault}")
        if faults:
            failed += 1
            for writer in writers:
                writer.refused.clear()
        if server.process is None or time.monotonic() > limit:
            return rounds - number + failed
    if not sum(writer.acknowledged for writer in writers):
        print("FAIL no write was ever acknowledged")
        failed = rounds
    print(f"{sum(writer.acknowledged for writer in writers)} acknowledged writes in all")
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="kill9", description=__doc__)
    parser.add_argument("binary", nargs="?", type=pathlib.Path, help="the server's binary (not for a peer)")
    parser.add_argument("--server", choices=sorted(SERVERS), default="tercet")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=None, help="for the moments and the choice of writes")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    seed = random.SystemRandom().randrange(1 << 32) if chosen.seed is None else chosen.seed
    random.seed(seed)
    print(f"seed {seed}")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tercet-kill9-"))
    address = free_address(20)
    if chosen.server == "tercet":
        server = Tercet(folder / "server", address, chosen.binary.resolve())
    else:
        server = SERVERS[chosen.server](folder / "server", address)
    failed = chosen.rounds
    try:
        failed = asyncio.run(run(server, folder, chosen.rounds))
        server.stop()
        complaints = [line for line in server.log_file.read_text(errors="replace").splitlines()
                      if BAD_LINES.search(line)]
        for line in complaints[:20]:
            print(f"FAIL in the log: {line}")
        failed += bool(complaints)
    finally:
        server.kill()
        if failed:
            print(f"--- the end of the server's log\n{server.log_tail()}\nall logs: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder)
    print(f"{max(chosen.rounds - failed, 0)} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
