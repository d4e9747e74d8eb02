"""Clients of the web: @xmpp/client (xmpp.js) and strophe.js, through the programs in `clients/web`."""

import asyncio
import os

from .scenario import Account, Stage
from .strophe import Strophe


class Web(Strophe):
    """One connection of xmpp.js. It speaks as libstrophe's program does."""

    def __init__(self, stage: Stage, account: Account, resource: str = "", *, password: str | None = None,
                 tls: bool = False):
        super().__init__(stage, account, resource or None)
        service = f"ws://{stage.server.address}:{stage.server.http_port}/ws"
        # Whom Node.js trusts besides those it knows.
        trust = []
        if tls:
            service = f"wss://{stage.server.domain}:5281/ws"
            trust = ["env", f"NODE_EXTRA_CA_CERTS={stage.server.ca_file}", f"WEB_ADDRESS={stage.server.address}"]
        self._command = trust + ["node", os.path.join(os.environ["E2E_WEB"], "client.mjs"), account.jid,
                         password or account.password, service, resource]

    def cut(self) -> None:
        """Cuts the connection without a word; xmpp.js makes another."""
        self._process.stdin.write(b"CUT\n")

    async def resumed(self) -> None:
        """Waits until the session goes on over another connection."""
        await self.inbox.expect("<resumed/>", lambda s: s.tag == "{urn:xmpp:sm:3}resumed")

    def __str__(self) -> str:
        return f"xmpp.js {self.jid}"


class StropheJs(Strophe):
    """One connection of strophe.js, over BOSH or WebSocket, through `clients/web/strophe.mjs`."""

    def __init__(self, stage: Stage, account: Account, by: str = "bosh", *, password: str | None = None):
        super().__init__(stage, account, None)
        at = f"{stage.server.address}:{stage.server.http_port}"
        service = f"http://{at}/bosh" if by == "bosh" else f"ws://{at}/ws"
        self._by = by
        self._command = ["node", os.path.join(os.environ["E2E_WEB"], "strophe.mjs"), account.jid,
                         password or account.password, service]

    def __str__(self) -> str:
        return f"strophe.js by {self._by} {self.jid}"

    def lose(self, count: int) -> None:
        """The next answers get lost on their way."""
        self.send(f"!lose {count}")

    async def reload(self, how: str = "reload") -> None:
        """The page is loaded again (`reload`), or another one goes on (`attach`); the session stays."""
        self._login = asyncio.get_running_loop().create_future()
        self.send(f"!{how}")
        assert await asyncio.wait_for(self._login, 10) == f"CONNECTED {self.jid}"
        self.send("<presence/>")
        await self.settle()
