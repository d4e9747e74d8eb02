"""The bundled web client as people use it, in Chromium."""

import asyncio
import base64
import struct
import zlib

from harness.browser import Browser
from harness.people import befriend, pair
from harness.scenario import Stage, scenario
from harness.slix import Slix
from scenarios.copies import with_copies

FIRST_PAGE_BYTES = 3 << 20


def picture(width: int = 32) -> str:
    """A square of one colour as PNG, in base64."""
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    rows = (b"\0" + b"\x4c\x43\xa6" * width) * width
    png = (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, width, 8, 2, 0, 0, 0))
           + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    return base64.b64encode(png).decode()


def address(stage: Stage, query: str = "") -> str:
    """The chat page without TLS: a browser trusts addresses of its own machine."""
    return f"http://{stage.server.address}:{stage.server.http_port}/chat{query}"


async def clean(*people) -> None:
    """Nothing was asked of another origin, nothing was forbidden by the page's policy, nothing went wrong in its script."""
    for person in people:
        record = await person.record()
        own = record["requests"][0].removesuffix("/chat").split("/chat?")[0]
        for url in record["requests"] + [url.replace("ws", "http", 1) for url in record["sockets"]]:
            assert url.startswith((own + "/", "data:", f"blob:{own}/")), f"{person.name} asked {url}"
        problems = [problem for problem in record["problems"] if not known(problem)]
        assert not problems, f"{person.name}:\n" + "\n".join(problems)


def known(problem: str) -> bool:
    """What Converse.js writes to the console where all is well: at the first login over BOSH, where a server has no PEP, and while
    somebody types the name of a room if rooms cannot be searched."""
    first = "no restoreable session" in problem
    return first or "muclumbus/search" in problem or "popular emojis" in problem or "urn:xmpp:reactions:popular:0" in problem


async def two(stage: Stage, browser: Browser, query: str = ""):
    """Two people who have logged in by the form, and their accounts."""
    people = []
    for name in ("romeo", "juliet"):
        account = await stage.account(name)
        person = browser.person(name)
        await person.open(url=address(stage, query))
        await person.login(name=account.local, password=account.password)
        await person.inside()
        people += [person, account]
    return people


async def meet_and_talk(romeo, romeo_account, juliet, juliet_account):
    """Contact request, acceptance, presence, messages both ways."""
    await romeo.request_contact(jid=juliet_account.jid, name="Juliet")
    await juliet.accept_contact(jid=romeo_account.jid)
    await romeo.sees(jid=juliet_account.jid, show="online")
    await juliet.sees(jid=romeo_account.jid, show="online")
    await romeo.open_chat(jid=juliet_account.jid)
    await juliet.open_chat(jid=romeo_account.jid)
    await romeo.say(text="Hello Juliet! <b>&amp; 🌹")
    await juliet.hears(text="Hello Juliet! <b>&amp; 🌹")
    await juliet.say(text="Hello Romeo.")
    await romeo.hears(text="Hello Romeo.")


@scenario(servers=("tercet",), limit=90)
async def two_people_meet_and_talk_in_the_web_client(stage: Stage):
    browser = await Browser(stage).start()
    romeo, romeo_account, juliet, juliet_account = await two(stage, browser)
    await meet_and_talk(romeo, romeo_account, juliet, juliet_account)
    await juliet.introduce(name="Juliet Capulet", picture=picture())
    await romeo.sees_picture(jid=juliet_account.jid)
    await juliet.appear(show="away")
    await romeo.sees(jid=juliet_account.jid, show="away")
    await romeo.picture(name="conversation")
    assert not await romeo.cut_off(), await romeo.cut_off()
    await romeo.reload()
    await romeo.inside()
    await romeo.sees(jid=juliet_account.jid, show="away")
    await juliet.say(text="Still there?")
    await romeo.open_chat(jid=juliet_account.jid)
    assert await romeo.hears(text="Still there?") == 1
    assert await romeo.hears(text="Hello Romeo.") == 1
    await clean(romeo, juliet)


@scenario(servers=("tercet",), limit=90)
async def two_people_meet_and_talk_where_only_http_gets_through(stage: Stage):
    browser = await Browser(stage).start()
    romeo, romeo_account, juliet, juliet_account = await two(stage, browser, "?transport=bosh")
    await meet_and_talk(romeo, romeo_account, juliet, juliet_account)
    await juliet.introduce(name="Juliet Capulet", picture=picture())
    await romeo.sees_picture(jid=juliet_account.jid)
    await romeo.reload()
    await romeo.inside()
    await juliet.say(text="Still there?")
    await romeo.hears(text="Still there?")
    assert await romeo.hears(text="Hello Romeo.") == 1
    for person in (romeo, juliet):
        record = await person.record()
        assert not record["sockets"], record["sockets"]
        assert any(url.endswith("/bosh") for url in record["requests"]), record["requests"]
    await clean(romeo, juliet)


@scenario(servers=("tercet",), limit=90)
async def the_login_page_is_small_and_fits_every_screen(stage: Stage):
    browser = await Browser(stage).start()
    for phone in (False, True):
        for dark in (False, True):
            name = ("phone" if phone else "desktop") + ("-dark" if dark else "-light")
            person = browser.person(name)
            await person.open(url=address(stage), phone=phone, dark=dark, locale="de-DE" if phone else "en-GB")
            await person.picture(name=f"login-{name}")
            assert not await person.cut_off(), f"{name}: {await person.cut_off()}"
            assert await person.has(selector="a[href='/register']"), "no link to the registration"
            record = await person.record()
            assert 100_000 < record["bytes"] < FIRST_PAGE_BYTES, f"{record['bytes']} bytes"
            await clean(person)
            await person.leave()


@scenario(servers=("tercet",), limit=90)
async def a_conversation_fits_a_phone_in_the_dark(stage: Stage):
    browser = await Browser(stage).start()
    account, friend = await stage.account("romeo"), await Slix(stage, await stage.account("juliet"), "desk").login()
    romeo = browser.person("romeo")
    await romeo.open(url=address(stage), phone=True, dark=True)
    await romeo.login(name=account.local, password=account.password)
    await romeo.inside()
    await romeo.picture(name="contacts")
    assert not await romeo.cut_off(), await romeo.cut_off()
    # With it the conversation opens.
    await romeo.request_contact(jid=friend.account.jid, name="Juliet Capulet of Verona")
    await friend.inbox.presence(account.jid, "subscribe")
    friend.presence(account.jid, "subscribed")
    long = "It is the east, and Juliet is the sun. " * 3 + "https://elsewhere.example/" + "long/" * 20 + "picture.png"
    friend.message(account.jid, long)
    await romeo.hears(text="Juliet is the sun")
    await romeo.say(text="Arise, fair sun.")
    await romeo.picture(name="conversation")
    assert not await romeo.cut_off(), await romeo.cut_off()
    await clean(romeo)


@scenario(servers=("tercet",), limit=90)
async def over_https_a_wrong_password_is_told_and_a_file_is_shared(stage: Stage):
    browser = await Browser(stage).start()
    account = await stage.account("romeo", stage.server.second_domain)
    romeo = browser.person("romeo")
    await romeo.open(url=f"https://{stage.server.second_domain}:5281/chat")
    await romeo.login(name=account.local, password="wrong")
    assert "incorrect" in await romeo.refusal()
    await romeo.login(name=account.local, password=account.password)
    await romeo.inside()
    # To oneself: the slot, the file, and the picture in the conversation.
    await romeo.open_chat(jid=account.jid)
    await romeo.attach(name="a square.png", type="image/png", content=picture(48))
    assert await romeo.sees_image() == 48
    await romeo.picture(name="file")
    await clean(romeo)


@scenario(servers=("tercet",), limit=90)
async def a_picture_is_shared_with_a_friend_and_is_there_again_elsewhere(stage: Stage):
    browser = await Browser(stage).start()
    account, juliet = await friends(stage, stage.server.second_domain)
    page = f"https://{stage.server.second_domain}:5281/chat"
    sender = await at(stage, browser, "sender", account, juliet, page=f"{page}?transport=bosh")
    await sender.attach(name="a square.png", type="image/png", content=picture(48))
    assert await sender.sees_image() == 48
    link = await juliet.inbox.expect("a link", lambda stanza: stanza.find("{jabber:x:oob}x") is not None)
    assert link.findtext("{jabber:client}body") == link.findtext("{jabber:x:oob}x/{jabber:x:oob}url")
    other = await at(stage, browser, "other", account, juliet, page=page)
    assert await other.sees_image() == 48
    await other.picture(name="shared")
    await clean(sender, other)


async def at(stage: Stage, browser: Browser, name: str, account, friend: Slix, query: str = "", page: str = ""):
    """A new browser, logged in, with the conversation with a friend on its screen, and all that the archive has of it."""
    person = browser.person(name)
    await person.open(url=page or address(stage, query))
    await person.login(name=account.local, password=account.password)
    await person.inside()
    await person.open_chat(jid=friend.account.jid)
    await person.caught_up()
    return person


class Talk:
    """What romeo, at one or more browsers, and his friend said to each other."""

    def __init__(self, stage: Stage, romeo, friend: Slix):
        self.said: list[list[str]] = []
        self._romeo, self._friend = romeo, friend

    async def hears(self, *texts: str, to: str | None = None) -> None:
        """The friend says something, and the server has taken it before the next."""
        for text in texts:
            self._friend.message(to or self._romeo.jid, text)
            self.said.append([self._friend.account.jid, text])
            await self._friend.settle()

    async def says(self, person, text: str) -> str:
        """Romeo says something; returns where."""
        await person.say(text=text)
        return await self.said_elsewhere(text)

    async def said_elsewhere(self, text: str) -> str:
        """The same by another client."""
        self.said.append([self._romeo.jid, text])
        return (await self._friend.inbox.message(text)).get("from")

    async def is_shown(self, *people) -> None:
        """Exactly this is on the screens, once and in this order: after all that was under way a last message has come."""
        await self.hears(f"That was all ({len(self.said)}).")
        for person in people:
            shown = await person.conversation(until=self.said[-1][1])
            assert [[who, text] for who, text, _ in shown] == self.said, f"{person.name}: {shown}\nnot {self.said}"
            heights = [height for _, _, height in shown]
            assert heights == sorted(heights), heights


async def friends(stage: Stage, domain: str | None = None):
    """The account of romeo, who is nowhere, and his friend at her desk."""
    romeo = await Slix(stage, await stage.account("romeo", domain), "desk").login()
    juliet, = await pair(stage, "juliet")
    await befriend(romeo, juliet)
    await romeo.close()
    await juliet.inbox.presence(romeo.jid, "unavailable")
    return romeo.account, juliet


@scenario(servers=("tercet",), limit=90)
async def the_history_is_there_after_a_new_login_elsewhere(stage: Stage):
    account, juliet = await friends(stage)
    browser = await Browser(stage).start()
    talk = Talk(stage, account, juliet)
    first = browser.person("first")
    await first.open(url=address(stage))
    await first.login(name=account.local, password=account.password)
    await first.inside()
    await first.open_chat(jid=juliet.account.jid)
    for turn in range(3):
        await talk.hears(f"juliet {turn}")
        await first.hears(text=f"juliet {turn}")
        where = await talk.says(first, f"romeo {turn}")
    await talk.is_shown(first)
    # Nobody is connected: what comes now is kept for him, and is in the archive.
    await first.log_out()
    await juliet.inbox.presence(where, "unavailable")
    await talk.hears("while nobody was there", "and another")
    second = await at(stage, browser, "second", account, juliet)
    await talk.is_shown(second)
    where = await talk.says(second, "from the second")
    # A tab that is closed leaves a session behind that could be resumed.
    await second.leave()
    await talk.hears("into a closed tab", "and there another", to=where)
    third = await at(stage, browser, "third", account, juliet)
    await talk.says(third, "from the third")
    await talk.is_shown(third)
    await third.picture(name="history")
    await clean(first, second, third)


@scenario(servers=("tercet",), limit=90)
async def two_browsers_and_a_phone_show_the_same_conversation_live(stage: Stage):
    account, juliet = await friends(stage)
    browser = await Browser(stage).start()
    talk = Talk(stage, account, juliet)
    await talk.hears("before")
    laptop = await at(stage, browser, "laptop", account, juliet)
    tablet = await at(stage, browser, "tablet", account, juliet)
    phone = await with_copies(stage, account, "phone")
    await talk.hears("to whoever is there")
    for one in (laptop, tablet):
        await one.conversation(until="to whoever is there")
    for person in (laptop, tablet):
        where = await talk.says(person, f"from the {person.name}")
        for one in (laptop, tablet):
            await one.conversation(until=f"from the {person.name}")
        await talk.hears(f"to the {person.name} only", to=where)
    phone.message(juliet.account.jid, "from the phone")
    where = await talk.said_elsewhere("from the phone")
    await talk.hears("to the phone only", to=where)
    await talk.is_shown(laptop, tablet)
    await tablet.picture(name="tablet")
    await clean(laptop, tablet)


async def conversation(stage: Stage, query: str = ""):
    """One that has begun; with romeo's full JID."""
    account, juliet = await friends(stage)
    browser = await Browser(stage).start()
    talk = Talk(stage, account, juliet)
    await talk.hears("before")
    romeo = await at(stage, browser, "romeo", account, juliet, query)
    await talk.hears("hello")
    # Converse.js asks the archive for what is younger than the last message that it has.
    await romeo.hears(text="hello")
    return juliet, talk, romeo, await talk.says(romeo, "from the first page")


async def goes_on(talk: Talk, romeo) -> None:
    """The page is there again, and shows what was said."""
    await romeo.inside()
    await romeo.caught_up()
    await talk.says(romeo, "from the second page")
    await talk.is_shown(romeo)
    await romeo.picture(name="conversation")
    await clean(romeo)


async def while_there_is_no_page(stage: Stage, query: str = "") -> None:
    _, talk, romeo, where = await conversation(stage, query)
    await romeo.away()
    await talk.hears("to the page that is gone", to=where)
    await talk.hears("to anyone", "or so")
    await romeo.back()
    await goes_on(talk, romeo)


async def while_the_page_is_loaded(stage: Stage, query: str = "") -> None:
    juliet, talk, romeo, where = await conversation(stage, query)
    reload = asyncio.ensure_future(romeo.reload())
    turn = 0
    while not reload.done() and turn < 40:
        await talk.hears(f"turn {turn}", to=where if turn % 2 else None)
        turn += 1
        for _ in range(10):
            await juliet.settle()
    await reload
    await talk.hears("when the page is there")
    await goes_on(talk, romeo)


@scenario(servers=("tercet",), limit=90)
async def what_is_said_while_the_page_is_gone_is_shown_once_when_it_is_back(stage: Stage):
    await while_there_is_no_page(stage)


@scenario(servers=("tercet",), limit=90)
async def what_is_said_while_the_page_is_gone_is_shown_once_over_bosh_too(stage: Stage):
    await while_there_is_no_page(stage, "?transport=bosh")


@scenario(servers=("tercet",), limit=90)
async def a_reload_in_a_conversation_loses_and_doubles_nothing(stage: Stage):
    await while_the_page_is_loaded(stage)
