"""Two people who know each other: what many scenarios begin with."""

import asyncio

from slixmpp.exceptions import IqError

from .scenario import Account, Stage
from .slix import Slix


async def pair(stage: Stage, *names: str) -> list[Slix]:
    """One slixmpp connection for each name, available."""
    return [await Slix(stage, await stage.account(name), "desk").login() for name in names]


async def subscribe(one: Slix, other: Slix) -> None:
    """`one` comes to see the presence of `other`; all pushes of it are taken from the inboxes."""
    one.presence(other.account.jid, "subscribe")
    await one.inbox.roster_push(other.account.jid, ask="subscribe")
    await other.inbox.presence(one.account.jid, "subscribe")
    other.presence(one.account.jid, "subscribed")
    await one.inbox.presence(other.account.jid, "subscribed")
    await other.inbox.expect("push with from or both", lambda s: _pushed(s, one.account.jid, ("from", "both")))
    await one.inbox.expect("push with to or both", lambda s: _pushed(s, other.account.jid, ("to", "both")))
    await one.inbox.presence(other.jid)


async def befriend(one: Slix, other: Slix) -> None:
    """Both come to see each other's presence."""
    await subscribe(one, other)
    await subscribe(other, one)


async def quiet(*clients: Slix) -> None:
    """Comes back when nothing that these clients sent is still under way between them."""
    for client in clients:
        await asyncio.gather(*(client.fence(other.jid) for other in clients))


async def full_name(client: Slix, to: str | None = None) -> str | None:
    """The name in a vCard. XEP-0054 §3.1 lets a server answer for none with an empty one or `item-not-found`."""
    try:
        return (await client.iq("get", "<vCard xmlns='vcard-temp'/>", to)).findtext(".//{vcard-temp}FN")
    except IqError as error:
        assert error.condition == "item-not-found", error.condition
        return None


def _pushed(stanza, jid: str, states: tuple[str, ...]) -> bool:
    if stanza.get("type") != "set":
        return False
    return any(item.get("jid") == jid and item.get("subscription") in states
               for item in stanza.iter("{jabber:iq:roster}item"))
