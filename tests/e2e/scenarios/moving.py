"""XEP-0227: an account goes out of one server and into another, of this maker and of others, and its user notices nothing."""

import asyncio
import itertools
import pathlib
import re
import subprocess
import tempfile
import xml.etree.ElementTree as ET

from harness.people import befriend, full_name
from harness.scenario import Account, Stage, scenario
from harness.servers import DOMAIN, Prosody, free_address
from harness.slix import Slix

from .archive import CLIENT, MAM, query
from .operations import ONLY_HERE, opens, own_server, tercet

PUBSUB = "http://jabber.org/protocol/pubsub"
BOOKMARKS = "urn:xmpp:bookmarks:1"
NICK = "http://jabber.org/protocol/nick"
PEOPLE = ("juliet", "romeo")
STORES = "accounts roster vcard private pep-pubsub archive-archive".split()

_addresses = itertools.count(200)


class Moved(Prosody):
    """Prosody with what files of XEP-0227 have, and its own tool that puts them into its storage and takes them out."""

    def __init__(self, folder: pathlib.Path, address: str):
        super().__init__(folder, address)
        self.data = folder / "data"
        self.archive(True)
        self._replace('"vcard"', '"vcard", "pep"')

    def migrate(self, source: str, target: str) -> None:
        """Runs `prosody-migrator`, in the folder of this server and as this user."""
        tool = self.folder / "migrator"
        text = pathlib.Path("/usr/bin/prosody-migrator").read_text()
        text = re.sub(r"CFG_DATADIR='[^']*'", f"CFG_DATADIR='{self.data}'", text, count=1)
        tool.write_text(text.replace("\tstartup.switch_user();\n", ""))
        tool.chmod(0o755)
        stores = ", ".join(f'"{store}"' for store in STORES)
        config = self.folder / "migrator.cfg.lua"
        config.write_text("".join(
            f'{name} {{ hosts = {{ ["{DOMAIN}"] = {{ {stores} }} }}; type = "{kind}"; path = "{self.data}" }}\n'
            for name, kind in (("files", "xep0227"), ("internal", "internal"))))
        # The tool asks for data of the host, too, which files of accounts do not have: it goes on.
        (self.data / DOMAIN.replace(".", "%2e")).mkdir(exist_ok=True)
        done = subprocess.run([tool, "--keep-going", "--config", config, source, target], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60)
        with open(self.log_file, "a", encoding="utf-8") as log:
            log.write(done.stdout)
        assert done.returncode == 0 and "for user" not in done.stdout, done.stdout


def another(stage: Stage, maker, name: str):
    """A server of that maker in a folder of its own."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix=name, dir=stage.server.folder.parent))
    return maker(folder, free_address(next(_addresses)))


async def publish(client: Slix, node: str, item: str, payload: str, options: dict[str, str]) -> None:
    fields = "".join(f"<field var='pubsub#{name}'><value>{value}</value></field>" for name, value in options.items())
    form = f"<field var='FORM_TYPE' type='hidden'><value>{PUBSUB}#publish-options</value></field>{fields}"
    await client.iq("set", f"<pubsub xmlns='{PUBSUB}'><publish node='{node}'><item id='{item}'>{payload}</item></publish>"
                           f"<publish-options><x xmlns='jabber:x:data' type='submit'>{form}</x></publish-options></pubsub>")


async def items(client: Slix, node: str, of: str | None = None) -> dict[str, str]:
    """Ids and payloads of the items of a node."""
    answer = await client.iq("get", f"<pubsub xmlns='{PUBSUB}'><items node='{node}'/></pubsub>", of)
    return {item.get("id"): ET.canonicalize(ET.tostring(item[0])) for item in answer.iter(f"{{{PUBSUB}}}item")}


async def archived(client: Slix) -> list[tuple[str, str]]:
    """The archive, ids and bodies. Without slixmpp's plugin, which does not see results of Prosody's, that say of whom they are by
    saying nothing."""
    answer = await client.iq("set", query(page="<max>100</max>", name="all"))
    assert answer.find(f"{MAM}fin").get("complete") == "true"
    results = client.inbox.taken(lambda s: s.find(f"{MAM}result") is not None)
    return [(s.find(f"{MAM}result").get("id"), s.findtext(f".//{CLIENT}body")) for s in results]


async def what_is_there(juliet: Slix) -> dict:
    """All that Juliet's client finds."""
    roster = {jid: (item.get("subscription"), item.get("name"), sorted(group.text for group in item))
              for jid, item in (await juliet.iq_roster()).items()}
    private = await juliet.iq("get", "<query xmlns='jabber:iq:private'><exodus xmlns='exodus:prefs'/></query>")
    return {
        "roster": roster,
        "name": await full_name(juliet),
        "private": private.findtext(".//{exodus:prefs}defaultnick"),
        "bookmarks": await items(juliet, BOOKMARKS),
        "nick": await items(juliet, NICK),
        "archive": await archived(juliet),
    }


def same(found: dict, expected: dict) -> None:
    """What is there is what was there before."""
    for what, was in expected.items():
        assert found[what] == was, f"{what}: {found[what]}, not {was}"


async def live(stage: Stage, juliet: Account, romeo: Account) -> dict:
    """What two people have after a while. Says what Juliet's client finds."""
    one, other = await Slix(stage, juliet, "balcony").login(), await Slix(stage, romeo, "orchard").login()
    await befriend(one, other)
    await one.iq("set", f"<query xmlns='jabber:iq:roster'><item jid='{romeo.jid}' name='R &amp; &lt;3'><group>Fri&#x1F339;ends</group>"
                        "<group>Verona</group></item></query>")
    await one.iq("set", "<query xmlns='jabber:iq:roster'><item jid='nurse@elsewhere.example' name='Nurse'/></query>")
    await one.iq("set", "<vCard xmlns='vcard-temp'><FN>Juliet &amp; Capulet</FN></vCard>")
    await one.iq("set", "<query xmlns='jabber:iq:private'><exodus xmlns='exodus:prefs'><defaultnick>J</defaultnick></exodus></query>")
    mine = {"access_model": "whitelist", "persist_items": "true", "max_items": "20"}
    for room in ("theplay", "orchard", "<>"):
        name = room.replace("<>", "&lt;>")
        await publish(one, BOOKMARKS, f"{name}@rooms.example", f"<conference xmlns='{BOOKMARKS}' name='{name}' autojoin='true'/>", mine)
    await publish(one, NICK, "current", f"<nick xmlns='{NICK}'>Ju</nick>", {"access_model": "presence"})
    for turn in range(15):
        one.message(romeo.jid, f"from Juliet {turn}")
        await other.inbox.expect("a message", lambda s: s.findtext("{jabber:client}body") == f"from Juliet {turn}")
        other.message(one.jid, f"from Romeo {turn}")
        await one.inbox.expect("an answer", lambda s: s.findtext("{jabber:client}body") == f"from Romeo {turn}")
    found = await what_is_there(one)
    assert len(found["archive"]) == 30 and len(found["bookmarks"]) == 3, found
    assert found["roster"][romeo.jid] == ("both", "R & <3", ["Fri\U0001F339ends", "Verona"]), found
    await one.close()
    await other.close()
    return found


@scenario(servers=ONLY_HERE, limit=180)
async def an_account_goes_to_prosody_and_comes_back(stage: Stage):
    async with own_server(stage) as here:
        juliet, romeo = [await here.account(name) for name in PEOPLE]
        before = await live(here, juliet, romeo)
        out = here.server.folder / "accounts"
        status, said = await tercet(here.server, "export", "--folder", str(out))
        assert status == 0, said
        await asyncio.to_thread(here.server.stop)

    prosody = another(stage, Moved, "prosody-")
    there = Stage(prosody, stage.folder)
    try:
        for file in out.iterdir():
            (prosody.data / file.name).write_bytes(file.read_bytes())
        await asyncio.to_thread(prosody.migrate, "files", "internal")
        await asyncio.to_thread(prosody.start)
        assert not await opens(there, Account(juliet.jid, "another password"))
        one = await Slix(there, juliet, "prosody").login()
        same(await what_is_there(one), before)
        # A contact sees what contacts may see, and no more.
        other = await Slix(there, romeo, "prosody").login()
        assert await items(other, NICK, juliet.jid) == before["nick"]
        assert await other.iq_error("get", f"<pubsub xmlns='{PUBSUB}'><items node='{BOOKMARKS}'/></pubsub>", juliet.jid) == "forbidden"
        await other.inbox.presence(one.jid)
        # Something happens there.
        one.message(romeo.jid, "from Juliet, at Prosody")
        await other.inbox.expect("a message", lambda s: s.findtext("{jabber:client}body") == "from Juliet, at Prosody")
        await one.iq("set", "<query xmlns='jabber:iq:roster'><item jid='tybalt@elsewhere.example' name='Tybalt'/></query>")
        at_prosody = await what_is_there(one)
        assert at_prosody != before
        await there.close()
        await asyncio.to_thread(prosody.stop)
        for file in prosody.data.glob("*.xml"):
            file.unlink()
        await asyncio.to_thread(prosody.migrate, "internal", "files")
    except Exception:
        stage.note(there.dialogue() + "\n" + prosody.log_tail(200))
        raise
    finally:
        await there.close()
        prosody.kill()

    async with own_server(stage) as back:
        for file in sorted(prosody.data.glob("*.xml")):
            status, said = await tercet(back.server, "import", "--strict", str(file))
            assert status == 0, said
        assert not await opens(back, Account(juliet.jid, "another password"))
        one = await Slix(back, juliet, "back").login()
        found = await what_is_there(one)
        # An id of Prosody's does not tell the time, as those here do.
        at_prosody["archive"][-1] = (found["archive"][-1][0], "from Juliet, at Prosody")
        same(found, at_prosody)
        other = await Slix(back, romeo, "back").login()
        await other.inbox.presence(one.jid)
        assert await items(other, NICK, juliet.jid) == before["nick"]
        assert await other.iq_error("get", f"<pubsub xmlns='{PUBSUB}'><items node='{BOOKMARKS}'/></pubsub>", juliet.jid) == "not-allowed"
