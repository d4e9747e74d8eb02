"""A room that is large by its server's settings: presence comes in batches, and everybody still knows who is there."""

import asyncio
import contextlib

from harness.inbox import CLIENT
from harness.people import pair
from harness.rooms import ask, codes, create, enter, leave, of_room, say
from harness.scenario import Stage, scenario

from .operations import ONLY_HERE, own_server

NAMES = ("juliet", "nurse", "mercutio", "tybalt", "benvolio", "rosaline")


@contextlib.asynccontextmanager
async def small_stadium(stage: Stage):
    """A server where rooms of more than one occupant are large."""
    async with own_server(stage, start=False) as beside:
        with open(beside.server.config, "a", encoding="utf-8") as config:
            config.write("\n[rooms]\nlarge = 1\n")
        await asyncio.to_thread(beside.server.start)
        yield beside


class Watcher:
    """What one connection knows of a room."""

    def __init__(self, client, room: str, nick: str):
        self.client, self.room, self.nick = client, room, nick
        self.inside: set[str] = set()
        self.said: list[tuple[str, str]] = []

    def take(self) -> None:
        """Reads what has come, in order."""
        while (stanza := self.client.inbox.find(lambda s: of_room(s, self.room))) is not None:
            nick = stanza.get("from").partition("/")[2]
            if stanza.tag == CLIENT + "presence":
                (self.inside.discard if stanza.get("type") == "unavailable" else self.inside.add)(nick)
            elif body := stanza.findtext(CLIENT + "body"):
                assert nick in self.inside, f"{self.nick} hears {nick} and was not told of it"
                self.said.append((nick, body))

    async def until(self, what: str, is_so) -> None:
        for _ in range(200):
            self.take()
            if is_so():
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{self.nick}: not so that {what}; it sees {sorted(self.inside)} and heard {self.said}")


@scenario(servers=ONLY_HERE, limit=90)
async def in_a_large_room_all_know_who_is_there_and_hear_nobody_before(stage: Stage):
    async with small_stadium(stage) as beside:
        romeo, *others = await pair(beside, "romeo", *NAMES)
        room = await create(beside, romeo, nick="romeo")
        watchers = [Watcher(romeo, room, "romeo")]
        watchers[0].inside.add("romeo")
        for client, name in zip(others, NAMES):
            ask(client, room, name)
            watchers.append(Watcher(client, room, name))
            # Whoever has just come is heard at once.
            say(client, room, f"{name} is here")
        everybody = {"romeo", *NAMES}
        for watcher in watchers:
            await watcher.until("all are there", lambda: watcher.inside == everybody)
        await watchers[0].until("all were heard", lambda: len(watchers[0].said) == len(NAMES))
        assert sorted(watchers[0].said) == sorted((name, f"{name} is here") for name in NAMES), watchers[0].said
        # One leaves, one is cut off, one comes again: nobody is left behind.
        await leave(others[0], room, "juliet")
        others[1].cut()
        entered = await enter(others[0], room, "juliet")
        assert 110 in codes(entered.own)
        watchers[1].inside = {"juliet", *entered.others}
        present = everybody - {"nurse"}
        for watcher in (watchers[0], watchers[1], *watchers[3:]):
            await watcher.until("one is gone", lambda: watcher.inside == present)
