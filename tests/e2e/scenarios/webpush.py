"""Web push: browsers are woken through a push service when no page is open."""

import asyncio
import contextlib
import html
import json
import re
import urllib.request

from harness.browser import Browser
from harness.people import pair
from harness.scenario import TIMEOUT, Account, Stage, scenario
from harness.slix import Slix
from harness.webpush import PushService, Subscription
from scenarios.browser import clean
from scenarios.operations import own_server, tercet

ONLY_HERE = ("tercet",)


@contextlib.asynccontextmanager
async def pushing(stage: Stage, private: bool = True):
    """A stage with a server of its own, which posts to push services in private networks, and such a push service."""
    async with own_server(stage, start=False) as beside:
        with open(beside.server.config, "a", encoding="utf-8") as config:
            config.write(f"\n[http]\nprivate_push_services = {str(private).lower()}\n")
        await asyncio.to_thread(beside.server.start)
        yield beside, await PushService(beside).start()


def settings(stage: Stage) -> dict:
    """What the page of the web client is told."""
    address = f"http://{stage.server.address}:{stage.server.http_port}/chat"
    request = urllib.request.Request(address, headers={"Host": stage.server.domain})
    with urllib.request.urlopen(request) as answer:
        return json.loads(html.unescape(re.search(r'data-settings="([^"]*)"', answer.read().decode())[1]))


async def subscribed(stage: Stage, service: PushService, name: str = "juliet") -> tuple[Account, Subscription]:
    """An account whose browser was told of, and is not connected any more."""
    account = await stage.account(name)
    page = await Slix(stage, account, "page").login()
    subscription = Subscription(service, account.local)
    await page.iq("set", subscription.enable(account.domain, "browser"))
    await page.close()
    return account, subscription


async def log(stage: Stage, account: Account) -> list[dict]:
    """The account's devices, as the command shows them."""
    status, text = await tercet(stage.server, "--json", "push", "log", account.jid)
    assert status == 0, text
    return json.loads(text)["devices"]


async def outcome(stage: Stage, account: Account, word: str | None) -> dict:
    """Waits until the log of the only device says this; `None`: until the device is forgotten."""
    async def said() -> dict:
        while True:
            devices = await log(stage, account)
            if word is None and not devices:
                return {}
            if devices and word and any(word in line for _, line in devices[0]["log"]):
                return devices[0]
            await asyncio.sleep(0.05)
    return await asyncio.wait_for(said(), TIMEOUT)


@scenario(servers=ONLY_HERE)
async def a_browser_without_a_page_hears_of_messages_encrypted(stage: Stage):
    async with pushing(stage) as (stage, service):
        romeo, = await pair(stage, "romeo")
        account, subscription = await subscribed(stage, service)
        key = settings(stage)["push"]
        romeo.message(account.jid, "A secret?")
        content, fields = await subscription.next(key)
        assert content == {"to": account.jid, "count": 1, "from": romeo.jid}, content
        assert fields["urgency"] == "normal" and fields["topic"] == "messages", fields
        romeo.send(f"<message to='{account.jid}' type='chat'><body>Another</body></message>")
        content, _ = await subscription.next(key)
        assert content["count"] == 2, content
        call = "<propose xmlns='urn:xmpp:jingle-message:0' id='a'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/></propose>"
        romeo.send(f"<message to='{account.jid}' type='chat'>{call}</message>")
        _, fields = await subscription.next(key)
        assert fields["urgency"] == "high", fields
        # Of no interest to anybody.
        romeo.send(f"<message to='{account.jid}' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
        page = await Slix(stage, account, "page").login()
        await romeo.fence(page.jid)
        assert service.requests.empty()
        status, text = await tercet(stage.server, "push", "test", account.jid)
        assert status == 0 and "notified" in text, text
        await subscription.next(key)
        # Subscriptions are for this key: it stays.
        await page.close()
        await asyncio.to_thread(stage.server.stop)
        await asyncio.to_thread(stage.server.start)
        assert settings(stage)["push"] == key
        romeo = await Slix(stage, romeo.account, "again").login()
        romeo.message(account.jid, "Good morning")
        content, _ = await subscription.next(key)
        assert content["from"] == romeo.jid, content


@scenario(servers=ONLY_HERE)
async def a_subscription_that_is_gone_is_forgotten(stage: Stage):
    async with pushing(stage) as (stage, service):
        romeo, = await pair(stage, "romeo")
        account, _ = await subscribed(stage, service)
        assert len(await log(stage, account)) == 1
        service.answers.append((410, {}))
        romeo.message(account.jid, "Hi")
        await service.next()
        await outcome(stage, account, None)


@scenario(servers=ONLY_HERE)
async def a_push_service_that_wants_to_be_left_alone_is(stage: Stage):
    async with pushing(stage) as (stage, service):
        romeo, = await pair(stage, "romeo")
        account, _ = await subscribed(stage, service)
        service.answers.append((429, {"Retry-After": "120"}))
        romeo.message(account.jid, "Hi")
        await service.next()
        device = await outcome(stage, account, "429; again in 120 s")
        assert device["failures"] == 1 and device["paused_until"], device
        romeo.message(account.jid, "Hi again")
        await romeo.settle()
        assert service.requests.empty()
        # Nothing is followed.
        service.answers.append((302, {"Location": f"{service.origin}/elsewhere"}))
        other, _ = await subscribed(stage, service, "nurse")
        romeo.message(other.jid, "Hi")
        await service.next()
        await outcome(stage, other, "302; again in 30 s")
        assert service.requests.empty()


@scenario(servers=ONLY_HERE)
async def a_browser_that_says_nonsense_is_refused(stage: Stage):
    async with pushing(stage) as (stage, service):
        page, = await pair(stage, "juliet")
        good = Subscription(service, "a").enable(page.account.domain, "browser")
        for bad in (
            f"<enable xmlns='urn:xmpp:push:0' jid='{page.account.domain}' node='browser'/>",
            good.replace("https:", "http:"),
            good.replace("var='auth'", "var='other'"),
            good.replace("'p256dh'><value>B", "'p256dh'><value>C"),
        ):
            assert await page.iq_error("set", bad) == "not-acceptable", bad
        await page.iq("set", good)
        for number in range(19):
            await page.iq("set", Subscription(service, "a").enable(page.account.domain, f"n{number}"))
        full = Subscription(service, "a").enable(page.account.domain, "one more")
        assert await page.iq_error("set", full) == "resource-constraint"
        await page.iq("set", f"<disable xmlns='urn:xmpp:push:0' jid='{page.account.domain}'/>")
        assert not await log(stage, page.account)


@scenario(servers=ONLY_HERE)
async def nothing_is_posted_to_who_is_somebody_else(stage: Stage):
    async with pushing(stage) as (stage, _):
        service = await PushService(stage).start(certified="127.0.0.9")
        romeo, = await pair(stage, "romeo")
        account, _ = await subscribed(stage, service)
        romeo.message(account.jid, "Hi")
        device = await outcome(stage, account, "the certificate is for 127.0.0.9; again in 30 s")
        assert device["failures"] == 1, device
        assert service.requests.empty()


@scenario(servers=ONLY_HERE)
async def nothing_is_posted_into_the_servers_own_network(stage: Stage):
    async with pushing(stage, private=False) as (stage, service):
        romeo, = await pair(stage, "romeo")
        account, _ = await subscribed(stage, service)
        romeo.message(account.jid, "Hi")
        await outcome(stage, account, None)
        assert service.requests.empty()


@scenario(servers=ONLY_HERE, limit=90)
async def somebody_with_the_web_client_hears_of_messages_while_no_page_is_open(stage: Stage):
    async with pushing(stage) as (stage, service):
        romeo, = await pair(stage, "romeo")
        account, subscription = await stage.account("juliet"), Subscription(service, "juliet")
        key, page = settings(stage)["push"], f"https://{stage.server.domain}:5281/chat"
        juliet = (await Browser(stage).start()).person("juliet")
        await juliet.open(url=page, subscription={"endpoint": subscription.endpoint, "keys": subscription.keys})
        await juliet.login(name=account.local, password=account.password)
        await juliet.inside()
        await juliet.picture(name="offer")
        await juliet.accept_notifications()
        await outcome(stage, account, "enabled")
        await juliet.away()
        romeo.message(account.jid, "O Juliet!")
        content, _ = await subscription.next(key)
        assert content["to"] == account.jid and content["from"] == romeo.jid, content
        shown = await juliet.is_pushed(content=json.dumps(content), scope=page)
        assert shown == [{"title": romeo.jid, "body": "A new message", "tag": f"chat:{account.jid}"}], shown
        content |= {"count": 2, "body": "Art thou there?"}
        shown = await juliet.is_pushed(content=json.dumps(content), scope=page)
        assert len(shown) == 1, shown
        assert await juliet.follows_notification() == "/chat"
        # The page goes on with the subscription that there is; logging out ends it.
        await juliet.back()
        await juliet.inside()
        assert not await juliet.has(selector=".tercet-push")
        assert len(await log(stage, account)) == 1
        await juliet.log_out()
        await outcome(stage, account, None)
        await clean(juliet)
