"""Gajim as a client of the scenarios: the real program on a screen of its own, told what to do over its D-Bus interface."""

import asyncio
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import tempfile

from .scenario import TIMEOUT, Account, Stage

BUS = "org.gajim.Gajim"
OBJECT = "/org/gajim/dbus/RemoteObject"
INTERFACE = "org.gajim.dbus.RemoteInterface"
ACCOUNT = "main"
NOBODY = 65534
START_SECONDS = 40.0
"""A window system, a bus and a large program start side by side with others."""


class Gajim:
    """One Gajim. With `encrypted`, what is written to these contacts is encrypted (XEP-0384)."""

    def __init__(self, stage: Stage, account: Account, encrypted: tuple[Account, ...] = ()):
        self.account = account
        self._stage = stage
        self._encrypted = encrypted
        self._home = pathlib.Path(tempfile.mkdtemp(prefix="e2e-gajim-"))
        self._processes: list[subprocess.Popen] = []
        self._environment: dict[str, str] = {}
        self._as_user: list[str] = []
        stage.joined(self)

    def __str__(self) -> str:
        return f"Gajim {self.account.jid}"

    async def login(self) -> "Gajim":
        """Starts the program with the account in its settings; comes back when it is online."""
        self._settings()
        if os.geteuid() == 0:
            # The program does not run as root.
            self._as_user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]
            for path in (self._home, *self._home.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
        display = await self._reads(["Xvfb", "-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp"])
        bus = await self._reads(["dbus-daemon", "--session", "--nofork", "--print-address=1",
                                 f"--address=unix:path={self._home}/bus"])
        self._environment = {
            "HOME": str(self._home), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "LANGUAGE": "en",
            "DISPLAY": f":{display}", "DBUS_SESSION_BUS_ADDRESS": bus, "NO_AT_BRIDGE": "1",
            "GSETTINGS_BACKEND": "memory", "GTK_USE_PORTAL": "0"}
        with open(self._home / "signals", "ab") as out:
            self._start(["gdbus", "monitor", "--session", "--dest", BUS], out)
        self._start(["/usr/bin/python3", "/usr/bin/gajim", "--separate", "--verbose",
                     "--config-path", str(self._home / "gajim")], None)
        await self._until("it has started", lambda: self._call("list_accounts") != "", START_SECONDS)
        self._call("change_status", "online", "", ACCOUNT)
        await self._until("it is online", lambda: self._call("get_status", ACCOUNT) == "online")
        if self._encrypted:
            await self._until("its keys are published", lambda: f"device list for {self.account.jid}" in self._log())
        return self

    async def says(self, to: Account, text: str) -> None:
        """Writes to somebody."""
        await asyncio.to_thread(self._call, "send_chat_message", to.jid, text, ACCOUNT)

    async def hears(self, sender: Account, text: str) -> None:
        """Waits until the program has shown that message of that sender."""
        def shown():
            lines = (self._home / "signals").read_text(errors="replace").splitlines()
            return any("NewMessage" in line and sender.jid in line and text in line for line in lines)
        await self._until(f"{text!r} from {sender.jid}", shown)

    async def sees(self, contact: Account) -> None:
        """Waits until the program has that contact, online."""
        def shown():
            return any(contact.jid in one and "'show': <'online'>" in one
                       for one in self._call("list_contacts", ACCOUNT).split("}, {"))
        await self._until(f"{contact.jid} online", shown)

    async def close(self) -> None:
        """Ends the program, its bus and its screen."""
        for process in reversed(self._processes):
            process.terminate()
            try:
                await asyncio.to_thread(process.wait, 5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes = []
        shutil.rmtree(self._home, ignore_errors=True)

    def seen(self) -> str:
        lines = []
        for name in ("signals", "log"):
            path = self._home / name
            if path.exists():
                lines += path.read_text(errors="replace").splitlines()[-60:]
        return "\n".join(lines)

    def _log(self) -> str:
        return (self._home / "log").read_text(errors="replace")

    def _settings(self) -> None:
        """What a person would have filled in at the first start."""
        server = self._stage.server
        folder = self._home / "gajim"
        (folder / "cert_store").mkdir(parents=True)
        shutil.copy(server.certificates.chain, folder / "cert_store" / "server")
        local, domain = self.account.jid.split("@")
        account = {
            "active": True, "autoconnect": True, "savepass": True, "password": self.account.password,
            "name": local, "hostname": domain, "resource": "gajim", "use_custom_host": True,
            "custom_host": server.address, "custom_port": server.c2s_port, "custom_type": "START TLS",
            "last_status": "online", "restore_last_status": False}
        contacts = {one.jid: {"encryption": "OMEMO"} for one in self._encrypted}
        program = {"remote_control": True, "use_keyring": False, "check_for_update": False,
                   "plugins_auto_update": False, "show_main_window_on_startup": "always"}
        plugins = {"omemo": {"active": True}}
        settings = sqlite3.connect(folder / "settings.sqlite")
        settings.executescript("""
            CREATE TABLE settings (name TEXT UNIQUE, settings TEXT);
            CREATE TABLE account_settings (account TEXT UNIQUE, settings TEXT);
            PRAGMA user_version=5;""")
        for name, value in (("app", program), ("soundevents", {}), ("status_presets", {}), ("proxies", {}),
                            ("plugins", plugins), ("workspaces", {"one": {"name": "People", "chats": []}})):
            settings.execute("INSERT INTO settings VALUES (?, ?)", (name, json.dumps(value)))
        settings.execute("INSERT INTO account_settings VALUES (?, ?)", (
            ACCOUNT, json.dumps({"account": account, "contact": contacts, "group_chat": {}})))
        settings.commit()
        settings.close()

    def _start(self, command: list[str], out) -> subprocess.Popen:
        with open(self._home / "log", "ab") as log:
            process = subprocess.Popen(self._as_user + command, stdin=subprocess.DEVNULL, stdout=out or log, stderr=log,
                                       env=self._environment or None)
        self._processes.append(process)
        return process

    async def _reads(self, command: list[str]) -> str:
        """Starts a program; returns its first line."""
        process = self._start(command, subprocess.PIPE)
        line = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), START_SECONDS)
        assert line, f"{command[0]} ended: {self.seen()}"
        return line.decode().strip()

    def _call(self, method: str, *arguments: str) -> str:
        """What the method answers, as gdbus writes it, without its brackets and quotes; empty: there is no answer."""
        done = subprocess.run(
            [*self._as_user, "gdbus", "call", "--session", "--dest", BUS, "--object-path", OBJECT,
             "--method", f"{INTERFACE}.{method}", *arguments],
            env=self._environment, capture_output=True, text=True, timeout=TIMEOUT)
        return done.stdout.strip().strip("(),").strip("'")

    async def _until(self, what: str, holds, seconds: float = TIMEOUT) -> None:
        for _ in range(int(seconds / 0.2)):
            if await asyncio.to_thread(holds):
                return
            await asyncio.sleep(0.2)
        raise AssertionError(f"did not come within {seconds:.0f} s: {what}")
