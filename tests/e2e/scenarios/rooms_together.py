"""One room, and people with different programs in it: Converse.js in Chromium, profanity in a terminal, slixmpp."""

from harness.browser import Browser
from harness.inbox import CLIENT
from harness.people import pair
from harness.profanity import Profanity
from harness.rooms import change, create, enter, hears, rank, refused, say, sees
from harness.scenario import Stage, scenario

from .browser import address, clean

ONLY_HERE = ("tercet",)


async def at_the_browser(stage: Stage, browser: Browser, name: str):
    """Somebody who has logged in at the web client, and the account."""
    account, person = await stage.account(name), browser.person(name)
    await person.open(url=address(stage))
    await person.login(name=account.local, password=account.password)
    await person.inside()
    return person, account


@scenario(servers=ONLY_HERE, limit=120)
async def a_browser_a_terminal_and_a_library_talk_in_one_room(stage: Stage):
    romeo, = await pair(stage, "romeo")
    room = await create(stage, romeo, nick="romeo", persistentroom=True, roomname="The garden", changesubject=False)
    romeo.send(f"<message type='groupchat' to='{room}'><subject>Under the balcony</subject></message>")
    await romeo.inbox.expect("subject", lambda s: s.findtext(CLIENT + "subject") == "Under the balcony")
    browser = await Browser(stage).start()
    juliet, _ = await at_the_browser(stage, browser, "juliet")
    await juliet.enter_room(room=room, nick="juliet")
    await juliet.inside_room()
    await sees(romeo, room, "juliet")
    nurse = await (await Profanity(stage, await stage.account("nurse")).login()).logged_in()
    await nurse.type(f"/join {room} nick nurse")
    await sees(romeo, room, "nurse")
    await nurse.sees("Under the balcony")
    await juliet.sees_subject(text="Under the balcony")
    await juliet.sees_occupants(nicks=["romeo", "juliet", "nurse"])
    say(romeo, room, "Said by a library")
    await juliet.hears(text="Said by a library")
    await nurse.sees("Said by a library")
    await juliet.say(text="Said in a browser \U0001f339")
    await hears(romeo, room, "juliet", "Said in a browser \U0001f339")
    await nurse.sees("Said in a browser")
    await nurse.type("Typed on a terminal")
    await hears(romeo, room, "nurse", "Typed on a terminal")
    await juliet.hears(text="Typed on a terminal")
    await juliet.picture(name="room")
    for text in ("Said by a library", "Said in a browser", "Typed on a terminal"):
        assert await juliet.hears(text=text) == 1, text
    assert not await juliet.cut_off(), await juliet.cut_off()
    # The page again: the same room, its people, its subject, and each word once.
    await juliet.reload()
    await juliet.inside_room()
    await juliet.sees_occupants(nicks=["romeo", "juliet", "nurse"])
    await juliet.sees_subject(text="Under the balcony")
    say(romeo, room, "After the reload")
    await juliet.hears(text="After the reload")
    for text in ("Said by a library", "Said in a browser", "Typed on a terminal", "After the reload"):
        assert await juliet.hears(text=text) == 1, text
    await juliet.picture(name="room-again")
    await nurse.type("/close")
    await sees(romeo, room, "nurse", "unavailable")
    await juliet.sees_occupants(nicks=["romeo", "juliet"])
    await change(romeo, room, nick="juliet", role="none", reason="Good night")
    assert "kicked" in await juliet.turned_away()
    await juliet.picture(name="kicked")
    await clean(juliet)


@scenario(servers=ONLY_HERE, limit=120)
async def history_of_a_room_is_there_at_another_browser_each_message_once(stage: Stage):
    romeo, = await pair(stage, "romeo")
    room = await create(stage, romeo, nick="romeo", persistentroom=True)
    for number in range(30):
        say(romeo, room, f"Verse {number:02}")
        # A browser orders by time.
        await romeo.settle()
    await hears(romeo, room, "romeo", "Verse 29")
    browser = await Browser(stage).start()
    juliet, account = await at_the_browser(stage, browser, "juliet")
    await juliet.enter_room(room=room, nick="juliet")
    await juliet.inside_room()
    shown = [text for _, text, _ in await juliet.conversation(until="Verse 29")]
    assert shown == sorted(shown) and len(shown) == len(set(shown)), shown
    # While the page is away.
    await juliet.away()
    for number in range(30, 35):
        say(romeo, room, f"Verse {number:02}")
        await romeo.settle()
    await hears(romeo, room, "romeo", "Verse 34")
    await juliet.back()
    await juliet.inside_room()
    shown = [text for _, text, _ in await juliet.conversation(until="Verse 34")]
    assert shown == sorted(shown) and len(shown) == len(set(shown)), shown
    assert set(shown) >= {f"Verse {number}" for number in range(30, 35)}, shown
    await clean(juliet)


@scenario(servers=ONLY_HERE, limit=120)
async def a_browser_tells_why_one_is_not_let_in(stage: Stage):
    romeo, = await pair(stage, "romeo")
    secret = await create(stage, romeo, "secret", nick="romeo", passwordprotectedroom=True, roomsecret="nightingale")
    closed = await create(stage, romeo, "closed", nick="romeo", membersonly=True)
    full = await create(stage, romeo, "full", nick="romeo", maxusers=1)
    hostile = await create(stage, romeo, "hostile", nick="romeo")
    browser = await Browser(stage).start()
    juliet, account = await at_the_browser(stage, browser, "juliet")
    await change(romeo, hostile, jid=account.jid, affiliation="outcast")
    await juliet.enter_room(room=secret, nick="juliet")
    await juliet.asked_for_password()
    await juliet.picture(name="password")
    await juliet.give_password(password="lark")
    await juliet.asked_for_password(again="this is not it")
    await juliet.give_password(password="nightingale")
    await juliet.inside_room()
    await juliet.enter_room(room=closed, nick="juliet")
    assert "not on the member list" in await juliet.turned_away()
    await juliet.picture(name="members-only")
    for room, words in ((full, "maximum number"), (hostile, "banned")):
        await juliet.enter_room(room=room, nick="juliet")
        assert words in await juliet.turned_away(), room
    await clean(juliet)


@scenario
async def a_terminal_makes_a_room_and_runs_it(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    room = stage.room("cellar")
    nurse = await (await Profanity(stage, await stage.account("nurse")).login()).logged_in()
    await nurse.type(f"/join {room} nick nurse")
    await nurse.sees("locked")
    await nurse.type("/room accept")
    await nurse.sees("unlocked")
    await enter(romeo, room, "romeo"), await enter(juliet, room, "juliet")
    await nurse.type("/subject set From a terminal")
    await romeo.inbox.expect("subject", lambda s: s.findtext(CLIENT + "subject") == "From a terminal")
    await nurse.type("/kick juliet too loud")
    await sees(romeo, room, "juliet", "unavailable")
    await nurse.type(f"/ban {juliet.account.jid} for good")
    await nurse.type(f"/affiliation set admin {romeo.account.jid}")
    made = await romeo.inbox.expect("an admin", lambda s: s.get("from") == f"{room}/romeo" and rank(s)[0] == "admin")
    assert rank(made) == ("admin", "moderator")
    assert await refused(juliet, room, "juliet") == "forbidden"
    await nurse.type("/nick matron")
    await sees(romeo, room, "matron")
    await nurse.type("/quit")
    await sees(romeo, room, "matron", "unavailable")
