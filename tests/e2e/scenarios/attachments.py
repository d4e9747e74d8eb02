"""XEP-0470: what others attach to items, and its sum."""

import asyncio
import urllib.parse

from harness.people import pair
from harness.scenario import Stage, scenario
from harness.slix import Slix
from scenarios.operations import own_server

ONLY_HERE = ("tercet",)
PUBSUB = "http://jabber.org/protocol/pubsub"
ATTACHMENTS = "urn:xmpp:pubsub-attachments:1"
SUMMARY = "{urn:xmpp:pubsub-attachments:summary:1}"
BLOG = "urn:xmpp:microblog:0"
ENTRY = "<entry xmlns='http://www.w3.org/2005/Atom'><title>Balcony</title></entry>"
OPEN = (f"<publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>{PUBSUB}#publish-options</value></field>"
        "<field var='pubsub#access_model'><value>open</value></field><field var='pubsub#publish_model'><value>open</value></field>"
        "</x></publish-options>")


def publish(node: str, item: str, payload: str, options: str = "") -> str:
    return f"<pubsub xmlns='{PUBSUB}'><publish node='{node}'><item id='{item}'>{payload}</item></publish>{options}</pubsub>"


def attached(owner: str, item: str) -> str:
    """The attachment node of an item of the blog."""
    node, item = (urllib.parse.quote(part, safe="") for part in (BLOG, item))
    return f"{ATTACHMENTS}/xmpp:{owner}?;node={node};item={item}"


async def reacts(client: Slix, owner: str, item: str, *reactions: str) -> None:
    reactions = "".join(f"<reaction>{reaction}</reaction>" for reaction in reactions)
    payload = f"<attachments xmlns='{ATTACHMENTS}'><noticed/><reactions>{reactions}</reactions></attachments>"
    await client.iq("set", publish(attached(owner, item), client.account.jid, payload), to=owner)


async def summary(client: Slix, owner: str) -> dict[str, tuple[int, dict[str, int]]]:
    """Of each item: how many have noticed it, and the reactions."""
    asked = f"<pubsub xmlns='{PUBSUB}'><items node='{SUMMARY[1:-1]}/{BLOG}'/></pubsub>"
    answer = await client.iq("get", asked, to=owner)
    found = {}
    for item in answer.iter(f"{{{PUBSUB}}}item"):
        noticed = item.find(f"{SUMMARY}summary/{SUMMARY}noticed")
        reactions = {one.text: int(one.get("count", "1")) for one in item.iter(f"{SUMMARY}reaction")}
        found[item.get("id")] = (0 if noticed is None else int(noticed.get("count")), reactions)
    return found


@scenario(servers=ONLY_HERE)
async def reactions_are_summed_up_and_go_on_after_a_restart(stage: Stage):
    async with own_server(stage) as beside:
        juliet, romeo, nurse = await pair(beside, "juliet", "romeo", "nurse")
        owner = juliet.account.jid
        await juliet.iq("set", publish(BLOG, "balcony", ENTRY, OPEN))
        assert await romeo.iq_error("set", publish(attached(owner, "garden"), romeo.account.jid, f"<attachments xmlns='{ATTACHMENTS}'/>"),
                                    to=owner) == "item-not-found"
        await reacts(romeo, owner, "balcony", "👷", "🔨")
        assert await summary(nurse, owner) == {"balcony": (1, {"👷": 1, "🔨": 1})}
        accounts = [one.account for one in (juliet, romeo, nurse)]
        for one in (juliet, romeo, nurse):
            await one.close()
        await asyncio.to_thread(beside.server.stop)
        await asyncio.to_thread(beside.server.start)
        juliet, romeo, nurse = [await Slix(beside, account, "again").login() for account in accounts]
        assert await summary(nurse, owner) == {"balcony": (1, {"👷": 1, "🔨": 1})}
        await reacts(nurse, owner, "balcony", "👷")
        assert await summary(romeo, owner) == {"balcony": (2, {"👷": 2, "🔨": 1})}
        # The node keeps one item: the other goes, with all that is attached to it.
        await juliet.iq("set", publish(BLOG, "garden", ENTRY))
        assert await summary(romeo, owner) == {}
        await reacts(romeo, owner, "garden", "🌹")
        assert await summary(nurse, owner) == {"garden": (1, {"🌹": 1})}
