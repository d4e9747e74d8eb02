"""The stanzas that a client received, as elements, waiting to be expected."""

import asyncio
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable

from .scenario import TIMEOUT

CLIENT = "{jabber:client}"
ROSTER = "{jabber:iq:roster}"


class Inbox:
    """Stanzas in the order they came. `expect` takes the first that fits and leaves the others."""

    def __init__(self):
        self._waiting: list[ET.Element] = []
        self._log: list[str] = []
        self._news = asyncio.Event()

    def put(self, stanza: ET.Element) -> None:
        """A stanza has come."""
        self._waiting.append(stanza)
        self._log.append("RECV " + ET.tostring(stanza, encoding="unicode"))
        self._news.set()

    def note_sent(self, xml: str) -> None:
        """For the log only."""
        self._log.append("SENT " + xml)

    def log(self) -> str:
        """All that came and went."""
        return "\n".join(self._log[-60:])

    def find(self, fits: Callable[[ET.Element], bool]) -> ET.Element | None:
        """Takes the first stanza that fits and has already come."""
        for index, stanza in enumerate(self._waiting):
            if fits(stanza):
                return self._waiting.pop(index)
        return None

    def taken(self, fits: Callable[[ET.Element], bool]) -> list[ET.Element]:
        """Takes all stanzas that fit and have already come."""
        found = [stanza for stanza in self._waiting if fits(stanza)]
        self._waiting = [stanza for stanza in self._waiting if not fits(stanza)]
        return found

    async def expect(self, what: str, fits: Callable[[ET.Element], bool], timeout: float = TIMEOUT) -> ET.Element:
        """Waits for a stanza that fits and takes it."""
        deadline = time.monotonic() + timeout
        while True:
            stanza = self.find(fits)
            if stanza is not None:
                return stanza
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), max(0.0, deadline - time.monotonic()))
            except asyncio.TimeoutError:
                raise AssertionError(f"did not come within {timeout:.0f} s: {what}") from None

    async def message(self, body: str, **attributes: str) -> ET.Element:
        """A message with this body and these attributes."""
        return await self.expect(f"message {body!r} {attributes}", lambda s: is_message(s, body, attributes))

    async def presence(self, sender: str, type_: str | None = None, status: str | None = None) -> ET.Element:
        """Presence of that type (None: available) from exactly that JID, with that status if one is given."""
        def fits(stanza):
            return is_presence(stanza, sender, type_) and status in (None, stanza.findtext(CLIENT + "status"))
        return await self.expect(f"presence type {type_} status {status} from {sender}", fits)

    async def roster_push(self, jid: str, **attributes: str) -> ET.Element:
        """A roster push whose item has that JID and these attributes."""
        def fits(stanza):
            item = stanza.find(f"{ROSTER}query/{ROSTER}item") if stanza.get("type") == "set" else None
            return item is not None and item.get("jid") == jid and has(item, attributes)
        push = await self.expect(f"roster push of {jid} {attributes}", fits)
        return push.find(f"{ROSTER}query/{ROSTER}item")

    def no_message(self, body: str) -> None:
        """No message with this body has come."""
        assert self.find(lambda s: is_message(s, body, {})) is None, f"message {body!r} must not come"

    def no_presence(self, sender: str, type_: str | None = None) -> None:
        """No such presence has come."""
        found = self.find(lambda s: is_presence(s, sender, type_))
        assert found is None, f"presence of type {type_} from {sender} must not come"


def has(element: ET.Element, attributes: dict[str, str]) -> bool:
    """Whether the element has all these attributes (a trailing _ in a name is dropped)."""
    return all(element.get(name.rstrip("_")) == value for name, value in attributes.items())


def is_message(stanza: ET.Element, body: str, attributes: dict[str, str]) -> bool:
    """Whether the stanza is a message with this body."""
    return (stanza.tag == CLIENT + "message" and stanza.findtext(CLIENT + "body") == body
            and has(stanza, attributes))


def is_presence(stanza: ET.Element, sender: str, type_: str | None) -> bool:
    """Whether the stanza is a presence of this type from this JID."""
    return stanza.tag == CLIENT + "presence" and stanza.get("from") == sender and stanza.get("type") == type_
