"""The bundled web client as people use it, in Chromium."""

import base64
import struct
import zlib

from harness.browser import Browser
from harness.scenario import Stage, scenario
from harness.slix import Slix

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
    """What Converse.js writes to the console where all is well: at the first login over BOSH, and where a server has no PEP."""
    first = "no restoreable session" in problem
    return first or "popular emojis" in problem or "urn:xmpp:reactions:popular:0" in problem


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
    await romeo.reload()
    await romeo.inside()
    await juliet.say(text="Still there?")
    await romeo.hears(text="Still there?")
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
