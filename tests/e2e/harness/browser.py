"""People at the bundled web client, in Chromium, through `clients/web/browser.mjs`."""

import asyncio
import json
import os

from .scenario import Stage

PATIENCE = 40.0


class BrowserFailed(AssertionError):
    """Something that must be on the screen is not."""


class Browser:
    """One Chromium. `names`: domains that are this server's for it."""

    def __init__(self, stage: Stage):
        self._stage = stage
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._log: list[str] = []
        stage.joined(self)

    def __str__(self) -> str:
        return "Chromium"

    async def start(self) -> "Browser":
        """Starts the browser."""
        folder = self._stage.folder
        folder.mkdir(parents=True, exist_ok=True)
        server = self._stage.server
        names = [f"{name}={server.address}" for name in (server.domain, server.second_domain)]
        program = os.path.join(os.environ["E2E_WEB"], "browser.mjs")
        with open(folder / "browser.log", "ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                "node", program, str(folder), *names, stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE, stderr=log, limit=1 << 24)
        return self

    def person(self, name: str) -> "Person":
        """Somebody with a browser context of their own."""
        return Person(self, name)

    async def tell(self, who: str, verb: str, argument: dict):
        """Lets somebody do something; returns what came of it."""
        async with self._turn:
            line = json.dumps({"who": who, "do": verb, "with": argument})
            self._log.append(f"{who} {verb} {str(argument)[:200]}")
            self._process.stdin.write(line.encode() + b"\n")
            answer = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE)
        if not answer:
            raise BrowserFailed("the browser ended")
        answer = json.loads(answer)
        if "error" in answer:
            self._log.append(answer["error"])
            raise BrowserFailed(answer["error"])
        return answer["ok"]

    async def close(self) -> None:
        """Ends the browser."""
        if self._process is None:
            return
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 8)
        except asyncio.TimeoutError:
            self._process.kill()
            await self._process.wait()

    def seen(self) -> str:
        return "\n".join(self._log[-40:])


class Person:
    """Somebody at a screen. Every verb of `browser.mjs` is a method: `await juliet.say(text="Hello")`."""

    def __init__(self, browser: Browser, name: str):
        self._browser = browser
        self.name = name

    def __getattr__(self, verb: str):
        async def act(**argument):
            return await self._browser.tell(self.name, verb, argument)
        return act
