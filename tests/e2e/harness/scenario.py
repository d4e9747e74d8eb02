"""What a scenario is, and what it is given to work with.

A scenario is an `async def` whose name is a sentence, marked with `@scenario`. It makes its own
accounts and clients through its `Stage`, so scenarios run side by side and in any order.
"""

import asyncio
import dataclasses
import itertools
import pathlib
from collections.abc import Awaitable, Callable

from .servers import Server

TIMEOUT = 10.0
"""Seconds that a client waits for what must come."""


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One entry of the list that the runner works off."""

    group: str
    name: str
    body: Callable[["Stage"], Awaitable[None]]
    servers: tuple[str, ...]
    limit: float

    @property
    def title(self) -> str:
        return f"{self.group}: {self.name.replace('_', ' ')}"


SCENARIOS: list[Scenario] = []


def scenario(body=None, *, servers=("tercet", "prosody"), limit=60.0):
    """Adds a scenario to the list. `servers`: those that can play it; `limit`: seconds."""
    def add(body):
        group = body.__module__.rsplit(".", 1)[-1]
        SCENARIOS.append(Scenario(group, body.__name__, body, tuple(servers), limit))
        return body
    return add(body) if body else add


@dataclasses.dataclass(frozen=True)
class Account:
    """An account that exists on the server."""

    jid: str
    password: str

    @property
    def local(self) -> str:
        return self.jid.split("@")[0]

    @property
    def domain(self) -> str:
        return self.jid.split("@")[1]


class Stage:
    """The server, a folder, and the clients of one scenario, which leave when it ends."""

    _numbers = itertools.count(1)

    def __init__(self, server: Server, folder: pathlib.Path):
        self.server = server
        self.folder = folder
        self.clients: list = []
        self._number = next(self._numbers)

    async def account(self, name: str, domain: str | None = None, admin: bool = False) -> Account:
        """A new account; its name carries the scenario's number."""
        jid = f"{name}-{self._number}@{domain or self.server.domain}"
        account = Account(jid, f"Passwort für {name}")
        await self.server.add_user(account.jid, account.password, admin)
        return account

    def nobody(self, name: str, domain: str | None = None) -> Account:
        """An account that does not exist."""
        return Account(f"{name}-{self._number}@{domain or self.server.domain}", "any password")

    def room(self, name: str) -> str:
        """The address of a room that nobody else uses."""
        return f"{name}-{self._number}@{self.server.rooms}"

    def joined(self, client):
        """Remembers a client that must leave when the scenario ends."""
        self.clients.append(client)
        return client

    async def close(self) -> None:
        """Takes all clients off, whatever state they are in."""
        for client in reversed(self.clients):
            try:
                await asyncio.wait_for(client.close(), 10)
            except Exception as error:  # the scenario's own result is what counts
                self.note(f"{client}: while leaving: {error!r}")

    def note(self, text: str) -> None:
        """A line in the scenario's own log."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "notes.log", "a", encoding="utf-8") as log:
            log.write(text + "\n")

    def dialogue(self) -> str:
        """What each client saw, for the report of a failure."""
        return "\n".join(f"--- {client}\n{client.seen()}" for client in self.clients)
