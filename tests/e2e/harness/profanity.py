"""profanity as a client of the scenarios: the real program in a terminal, typed into and read from."""

import asyncio
import os
import pathlib
import shutil
import tempfile

from .scenario import TIMEOUT, Account, Stage

COLUMNS, ROWS = 200, 50
KEY_SECONDS = 0.15
"""A person's pause between a command and the Enter key: the program drops keys of a line typed at once."""


class Profanity:
    """One profanity in a tmux of its own. Certificates are checked against `ca_folder`."""

    def __init__(self, stage: Stage, account: Account, ca_folder: pathlib.Path | None = None,
                 address: str | None = None, direct_tls: bool = False):
        self.account = account
        self._server = stage.server
        self._ca_folder = ca_folder or stage.server.ca_folder
        self._address = address or stage.server.address
        self._direct_tls = direct_tls
        # Short, since it holds a socket's name.
        self._home = pathlib.Path(tempfile.mkdtemp(prefix="e2e-term-"))
        self._screens: list[str] = []
        stage.joined(self)

    def __str__(self) -> str:
        return f"profanity {self.account.jid}"

    async def login(self, password: str | None = None, line: str | None = None) -> "Profanity":
        """Starts the program and connects as a person would, by `line` if one is given."""
        (self._home / "config" / "profanity").mkdir(parents=True)
        (self._home / "data").mkdir()
        environment = {"HOME": self._home, "XDG_CONFIG_HOME": self._home / "config",
                       "XDG_DATA_HOME": self._home / "data", "LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]}
        command = " ".join(["env", "-i", *(f"'{k}={v}'" for k, v in environment.items()), "TERM=$TERM",
                            f"profanity -l DEBUG -f '{self._home}/profanity.log'"])
        await self._tmux("-f", "/dev/null", "new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), command)
        await self.sees("Type '/help'")
        await self.type(f"/tls certpath set {self._ca_folder}")
        await self.sees("Certificate path set to")
        port, policy = (self._server.tls_port, "legacy") if self._direct_tls else (self._server.c2s_port, "force")
        await self.type(line or f"/connect {self.account.jid} server {self._address} port {port} tls {policy}")
        await self.sees("Enter password")
        await self.type(password or self.account.password)
        return self

    async def logged_in(self) -> "Profanity":
        """Waits for the word that the login went well, over a secure connection."""
        await self.sees("logged in successfully")
        await self.sees("[TLS]")
        return self

    async def type(self, line: str) -> None:
        """Types a line and Enter."""
        await self._tmux("send-keys", "-l", "--", line)
        await asyncio.sleep(KEY_SECONDS)
        await self._tmux("send-keys", "Enter")
        await asyncio.sleep(KEY_SECONDS)

    async def sees(self, text: str) -> str:
        """Waits until the text stands on the screen; returns the line that has it."""
        for _ in range(int(TIMEOUT / 0.05)):
            for line in (await self._screen()).splitlines():
                if text in line:
                    return line
            await asyncio.sleep(0.05)
        raise AssertionError(f"does not come on the screen within {TIMEOUT:.0f} s: {text}")

    async def chat_with(self, jid: str) -> None:
        """Opens the window of that contact."""
        await self.type(f"/msg {jid}")

    async def close(self) -> None:
        """Leaves as a person would."""
        if not self._home.exists():
            return
        try:
            await self.type("/quit")
            for _ in range(40):
                if not await self._running():
                    return
                await asyncio.sleep(0.05)
            await self._tmux("kill-server")
        finally:
            shutil.rmtree(self._home, ignore_errors=True)

    def seen(self) -> str:
        log = self._home / "profanity.log"
        tail = log.read_text(errors="replace").splitlines()[-60:] if log.exists() else []
        return "\n".join([*(self._screens[-1:]), *tail])

    async def _screen(self) -> str:
        screen = await self._tmux("capture-pane", "-p", "-J")
        self._screens = [screen]
        return screen

    async def _running(self) -> bool:
        try:
            await self._tmux("list-sessions")
            return True
        except RuntimeError:
            return False

    async def _tmux(self, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            "tmux", "-S", str(self._home / "tmux"), *arguments, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        output, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"tmux {arguments[0]}: {output.decode()}")
        return output.decode()
