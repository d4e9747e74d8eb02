"""Rooms (XEP-0045) as a connection of slixmpp sees them, stanza by stanza."""

import dataclasses
import itertools
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

from .inbox import CLIENT
from .scenario import Stage
from .slix import Slix

MUC = "http://jabber.org/protocol/muc"
USER = f"{{{MUC}#user}}"
ERRORS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"
DELAY = "{urn:xmpp:delay}delay"
STANZA_ID = "{urn:xmpp:sid:0}stanza-id"
OCCUPANT_ID = "{urn:xmpp:occupant-id:0}occupant-id"
FORM = "{jabber:x:data}"

_numbers = itertools.count(1)


class Refused(Exception):
    """The room refused a join. `condition` is the error's, `stanza` the presence."""

    def __init__(self, stanza: ET.Element):
        self.stanza, self.condition = stanza, condition(stanza)
        super().__init__(self.condition)


@dataclasses.dataclass
class Entered:
    """What a room sent to somebody who came in, in the order of XEP-0045 §7.1."""

    others: dict[str, ET.Element]
    own: ET.Element
    history: list[ET.Element]
    subject: ET.Element

    @property
    def said(self) -> list[str | None]:
        """The bodies of the history."""
        return [message.findtext(CLIENT + "body") for message in self.history]


def condition(stanza: ET.Element) -> str:
    """The condition of an error."""
    error = stanza.find(CLIENT + "error")
    assert stanza.get("type") == "error" and error is not None, ET.tostring(stanza)
    return next(child.tag.removeprefix(ERRORS) for child in error if child.tag.startswith(ERRORS))


def codes(stanza: ET.Element) -> set[int]:
    """The status codes of a presence or message."""
    return {int(status.get("code")) for status in stanza.iterfind(f"{USER}x/{USER}status")}


def item(presence: ET.Element) -> ET.Element:
    """The only item of a presence."""
    found = presence.findall(f"{USER}x/{USER}item")
    assert len(found) == 1, ET.tostring(presence)
    return found[0]


def rank(presence: ET.Element) -> tuple[str, str]:
    """Affiliation and role."""
    return item(presence).get("affiliation"), item(presence).get("role")


def of_room(stanza: ET.Element, room: str) -> bool:
    """Whether a presence or message comes from the room or somebody in it."""
    return (stanza.get("from") or "").split("/")[0] == room and stanza.tag in (CLIENT + "presence", CLIENT + "message")


def join(room: str, nick: str, inside: str = "", extra: str = "", from_: str | None = None) -> str:
    """The presence that asks to be let in, with elements inside of its `<x/>` and beside it."""
    sender = f" from={quoteattr(from_)}" if from_ else ""
    return f"<presence{sender} to={quoteattr(f'{room}/{nick}')} id='join-{next(_numbers)}'><x xmlns='{MUC}'>{inside}</x>{extra}</presence>"


def out_of_band(stanza: ET.Element) -> bool:
    """Whether the room tells somebody, inside or not, that the own affiliation has changed: at any time."""
    return stanza.tag == CLIENT + "message" and 101 in codes(stanza)


def ask(client: Slix, room: str, nick: str, password: str | None = None, history: str | None = None, extra: str = "") -> None:
    """Asks to be let in. `history`: attributes of that element."""
    inside = f"<password>{escape(password)}</password>" if password is not None else ""
    inside += f"<history {history}/>" if history is not None else ""
    client.send(join(room, nick, inside, extra))


async def enter(client: Slix, room: str, nick: str, **how) -> Entered:
    """Joins; what had come from the room before is forgotten. Raises `Refused`."""
    while client.inbox.find(lambda s: of_room(s, room)) is not None:
        pass
    ask(client, room, nick, **how)
    others, own, history = {}, None, []
    while True:
        stanza = await client.inbox.expect(f"what {room} sends at a join", lambda s: of_room(s, room) and not out_of_band(s))
        if stanza.tag == CLIENT + "presence":
            if stanza.get("type") == "error":
                raise Refused(stanza)
            if 110 in codes(stanza):
                own = stanza
            elif own is None:
                # The room's own presence stands under the nick that nobody has.
                others[stanza.get("from").partition("/")[2]] = stanza
        elif stanza.find(CLIENT + "subject") is not None and stanza.find(CLIENT + "body") is None:
            assert own is not None, "the subject came before the own presence"
            return Entered(others, own, history, stanza)
        else:
            assert own is not None, "history came before the own presence"
            history.append(stanza)


async def refused(client: Slix, room: str, nick: str, **how) -> str:
    """Joins where that must be refused; returns the condition. The error has the join's element, as in all examples of XEP-0045
    §7.2 (not with every peer: clients see it as a refusal only then)."""
    try:
        await enter(client, room, nick, **how)
    except Refused as no:
        assert no.stanza.get("from") == f"{room}/{nick}", ET.tostring(no.stanza)
        assert client.server.name != "tercet" or no.stanza.find(f"{{{MUC}}}x") is not None, f"without the join's <x/>: {ET.tostring(no.stanza)}"
        return no.condition
    raise AssertionError(f"{client.jid} must not come into {room} as {nick}")


async def create(stage: Stage, owner: Slix, name: str = "garden", nick: str = "owner", **config) -> str:
    """A new room with its owner inside; its address. Names of `config` are those of XEP-0045 without their prefix."""
    room = stage.room(name)
    entered = await enter_new(owner, room, nick)
    assert codes(entered) >= {110, 201} and rank(entered) == ("owner", "moderator"), ET.tostring(entered)
    await (configure(owner, room, **config) if config else instant(owner, room))
    await owner.settle()
    while owner.inbox.find(lambda s: of_room(s, room)) is not None:
        pass
    return room


async def enter_new(client: Slix, room: str, nick: str) -> ET.Element:
    """Joins a room that does not exist; returns the own presence."""
    ask(client, room, nick)
    return await sees(client, room, nick)


async def leave(client: Slix, room: str, nick: str) -> ET.Element:
    """Leaves; returns the own presence."""
    client.send(f"<presence type='unavailable' to={quoteattr(f'{room}/{nick}')}/>")
    gone = await sees(client, room, nick, "unavailable")
    assert 110 in codes(gone), ET.tostring(gone)
    return gone


async def instant(owner: Slix, room: str) -> None:
    """Opens a new room as it is (§10.1.2)."""
    await owner.iq("set", f"<query xmlns='{MUC}#owner'><x xmlns='jabber:x:data' type='submit'/></query>", room)


def submission(fields: dict[str, object]) -> str:
    """A configuration form with these fields, as it is sent."""
    xml = f"<field var='FORM_TYPE'><value>{MUC}#roomconfig</value></field>"
    for name, value in fields.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        texts = [{True: "1", False: "0"}.get(one, str(one)) if isinstance(one, bool) else str(one) for one in values]
        name = name if "#" in name else f"muc#roomconfig_{name}"
        xml += f"<field var='{name}'>{''.join(f'<value>{escape(text)}</value>' for text in texts)}</field>"
    return f"<query xmlns='{MUC}#owner'><x xmlns='jabber:x:data' type='submit'>{xml}</x></query>"


async def configure(owner: Slix, room: str, **fields) -> None:
    """Changes the configuration."""
    await owner.iq("set", submission(fields), room)


async def form(owner: Slix, room: str) -> dict[str, ET.Element]:
    """The configuration form's fields by name, without their prefix."""
    answer = await owner.iq("get", f"<query xmlns='{MUC}#owner'/>", room)
    return {field.get("var").removeprefix("muc#roomconfig_"): field for field in answer.iter(FORM + "field") if field.get("var")}


def items(*changes: dict[str, str]) -> str:
    """Items of an administrator, as they are sent: `reason` becomes an element."""
    xml = ""
    for change in changes:
        attributes = "".join(f" {name}={quoteattr(value)}" for name, value in change.items() if name != "reason")
        reason = f"<reason>{escape(change['reason'])}</reason>" if "reason" in change else ""
        xml += f"<item{attributes}>{reason}</item>"
    return f"<query xmlns='{MUC}#admin'>{xml}</query>"


async def change(client: Slix, room: str, **attributes: str) -> None:
    """Changes a role (`nick`, `role`) or an affiliation (`jid`, `affiliation`), with an optional `reason`."""
    await client.iq("set", items(attributes), room)


async def may_not(client: Slix, room: str, **attributes: str) -> str:
    """The same where it must be refused; returns the condition."""
    return await client.iq_error("set", items(attributes), room)


async def listed(client: Slix, room: str, **attributes: str) -> list[ET.Element]:
    """The items of a list: `affiliation` or `role`."""
    answer = await client.iq("get", items(attributes), room)
    return answer.findall(f"{{{MUC}#admin}}query/{{{MUC}#admin}}item")


def say(client: Slix, room: str, body: str, extra: str = "", id_: str | None = None) -> None:
    """Says something to everybody."""
    id_ = id_ or f"said-{next(_numbers)}"
    client.send(f"<message type='groupchat' to='{room}' id='{id_}'><body>{escape(body)}</body>{extra}</message>")


def whisper(client: Slix, room: str, nick: str, body: str) -> None:
    """A private message (§7.5)."""
    client.send(f"<message type='chat' to={quoteattr(f'{room}/{nick}')} id='pm-{next(_numbers)}'><body>{escape(body)}</body>"
                f"<x xmlns='{MUC}#user'/></message>")


async def hears(client: Slix, room: str, nick: str, body: str) -> ET.Element:
    """Waits for what somebody says to everybody."""
    return await client.inbox.message(body, type="groupchat", from_=f"{room}/{nick}")


async def sees(client: Slix, room: str, nick: str, type_: str | None = None) -> ET.Element:
    """Waits for presence of an occupant."""
    return await client.inbox.presence(f"{room}/{nick}", type_)


async def fails(client: Slix, room: str) -> str:
    """Waits for a message that comes back as an error; returns the condition."""
    return condition(await client.inbox.expect(
        "an error", lambda s: of_room(s, room) and s.tag == CLIENT + "message" and s.get("type") == "error"))


async def together(room: str, speaker: Slix, nick: str, *others: Slix) -> None:
    """Comes back when all have heard a word that was said after all before: the room keeps the order."""
    word = f"word {next(_numbers)}"
    say(speaker, room, word)
    for client in (speaker, *others):
        await hears(client, room, nick, word)


def forget(room: str, *clients: Slix) -> None:
    """Drops what has come from the room."""
    for client in clients:
        while client.inbox.find(lambda s: of_room(s, room)) is not None:
            pass


async def info(client: Slix, address: str) -> tuple[dict[str, str], set[str], dict[str, str]]:
    """disco#info: the first identity's attributes, the features, the fields of `muc#roominfo`."""
    answer = await client.iq("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", address)
    query = "{http://jabber.org/protocol/disco#info}"
    fields = {field.get("var"): field.findtext(FORM + "value", "") for field in answer.iter(FORM + "field")}
    return dict(answer.find(f".//{query}identity").attrib), {f.get("var") for f in answer.iter(query + "feature")}, fields


async def contents(client: Slix, address: str) -> dict[str, str | None]:
    """disco#items: names by address."""
    answer = await client.iq("get", "<query xmlns='http://jabber.org/protocol/disco#items'/>", address)
    return {one.get("jid"): one.get("name") for one in answer.iter("{http://jabber.org/protocol/disco#items}item")}
