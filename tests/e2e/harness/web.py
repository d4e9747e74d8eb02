"""@xmpp/client (xmpp.js) as a client of the scenarios, over WebSocket, through `clients/web/client.mjs`."""

import os

from .scenario import Account, Stage
from .strophe import Strophe


class Web(Strophe):
    """One connection of xmpp.js. It speaks as libstrophe's program does."""

    def __init__(self, stage: Stage, account: Account, resource: str = "", *, password: str | None = None):
        super().__init__(stage, account, resource or None)
        service = f"ws://{stage.server.address}:{stage.server.http_port}/ws"
        self._command = ["node", os.path.join(os.environ["E2E_WEB"], "client.mjs"), account.jid,
                         password or account.password, service, resource]

    def __str__(self) -> str:
        return f"xmpp.js {self.jid}"
