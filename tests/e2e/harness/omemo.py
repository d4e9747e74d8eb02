"""slixmpp with slixmpp-omemo: devices with keys of their own, which write and read what no server can (XEP-0384)."""

import asyncio
import copy
import sys
import xml.etree.ElementTree as ET

import omemo
import slixmpp_omemo
from omemo.storage import Just, Maybe, Nothing
from slixmpp.plugins.base import register_plugin

from .scenario import TIMEOUT, Account, Stage
from .slix import Slix

AXOLOTL = "{eu.siacs.conversations.axolotl}"
"""What clients that are in use write."""


class Keys(omemo.Storage):
    """The keys of one device, in memory. They outlive its connections."""

    def __init__(self):
        super().__init__(disable_cache=True)
        self._kept = {}

    async def _load(self, key: str) -> Maybe:
        return Just(copy.deepcopy(self._kept[key])) if key in self._kept else Nothing()

    async def _store(self, key: str, value) -> None:
        self._kept[key] = copy.deepcopy(value)

    async def _delete(self, key: str) -> None:
        self._kept.pop(key, None)


class XEP_0384(slixmpp_omemo.XEP_0384):
    """Trusts every device that it has not seen before, as clients do until their user compares keys."""

    default_config = {**slixmpp_omemo.XEP_0384.default_config, "keys": None}

    @property
    def storage(self) -> omemo.Storage:
        return self.keys

    @property
    def _btbv_enabled(self) -> bool:
        return True

    async def _prompt_manual_trust(self, manually_trusted, identifier) -> None:
        raise AssertionError("nothing is to be decided by hand")


register_plugin(XEP_0384)


class Device(Slix):
    """A device that encrypts. Without `keys` it makes new ones."""

    def __init__(self, stage: Stage, account: Account, resource: str, keys: Keys | None = None):
        super().__init__(stage, account, resource)
        self.keys = keys or Keys()
        self._ready = asyncio.get_running_loop().create_future()
        self.xmpp.register_plugin("xep_0313")
        self.xmpp.register_plugin("xep_0384", {"keys": self.keys}, module=sys.modules[__name__])
        self.xmpp.add_event_handler(
            "omemo_initialized", lambda _: self._ready.done() or self._ready.set_result(None))

    async def login(self, **options) -> "Device":
        """Logs in; comes back when its keys are published."""
        await super().login(**options)
        await asyncio.wait_for(self._ready, TIMEOUT)
        await self.xmpp["xep_0280"].enable(timeout=TIMEOUT)
        return self

    async def number(self) -> int:
        """The device's id."""
        manager = await self.xmpp["xep_0384"].get_session_manager()
        own, _ = await manager.get_own_device_information()
        return own.device_id

    async def whisper(self, to: Account, text: str) -> None:
        """Writes to all devices of the other, and to the own other devices."""
        message = self.xmpp.make_message(mto=to.jid, mbody=text, mtype="chat")
        message.set_from(self.jid)
        plugin = self.xmpp["xep_0384"]
        # XEP-0384 §5.3: own devices may have come since.
        await plugin.refresh_device_lists({self.xmpp.boundjid, message["to"]}, force_download=True)
        sealed, faults = await plugin.encrypt_message(message, message["to"])
        assert not faults, faults
        sealed.send()

    async def hears(self, sender: Account, *, carbon: bool = False) -> str:
        """The next text that this sender has encrypted; `carbon`: what another device of the own account has sent."""
        def message_in(stanza):
            return stanza.find(".//{jabber:client}message") if carbon else stanza

        def fits(stanza):
            message = message_in(stanza)
            return message is not None and message.get("from", "").startswith(sender.jid) \
                and message.find(f"{AXOLOTL}encrypted") is not None

        while True:
            stanza = await self.inbox.expect(f"an encrypted message of {sender.jid}", fits)
            try:
                # Without a text it only brings keys; those may be for other devices.
                if text := await self.opened(message_in(stanza)):
                    return text
            except omemo.MessageNotForUs:
                pass

    async def opened(self, message: ET.Element) -> str:
        """The text of an encrypted message; empty if it has none."""
        plain, _ = await self.xmpp["xep_0384"].decrypt_message(self.xmpp.Message(message))
        return plain["body"]

    async def archived(self, peer: Account) -> list[ET.Element]:
        """The messages with that peer in the own archive, oldest first."""
        found = self.xmpp["xep_0313"].iterate(with_jid=peer.jid)
        return [one["mam_result"]["forwarded"]["stanza"].xml async for one in found]
