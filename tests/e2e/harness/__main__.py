"""Runs the scenarios: `run --help`."""

import argparse
import asyncio
import importlib
import logging
import os
import pathlib
import pkgutil
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import scenarios

from .scenario import SCENARIOS, Scenario, Stage
from .servers import ADMIN, SERVERS, Server, Tercet, free_address


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run", description="End-to-end scenarios with clients of other makers.")
    parser.add_argument("binary", nargs="?", type=pathlib.Path, help="the server's binary (not for a peer)")
    parser.add_argument("--server", choices=sorted(SERVERS), default="tercet",
                        help="play against this server; a peer tests the scenarios themselves")
    parser.add_argument("--only", default="", metavar="TEXT,…", help="scenarios whose title contains one of the texts")
    parser.add_argument("--jobs", type=int, default=4, help="scenarios side by side (default 4)")
    parser.add_argument("--address", help="loopback address (default: a free one from 127.0.1.4 on)")
    parser.add_argument("--list", action="store_true", help="print the titles")
    parser.add_argument("--keep", action="store_true", help="keep the folder with all logs, whatever the result")
    parser.add_argument("--exec", dest="command", nargs=argparse.REMAINDER, metavar="COMMAND",
                        help="no scenarios: run COMMAND beside the server, with E2E_ADDRESS and E2E_DOMAIN set")
    chosen = parser.parse_args()
    if chosen.server == "tercet" and not chosen.list:
        if chosen.binary is None or not os.access(chosen.binary, os.X_OK):
            parser.error("the path of the server's binary is needed")
        chosen.binary = chosen.binary.resolve()
    return chosen


def make_server(chosen: argparse.Namespace, folder: pathlib.Path) -> Server:
    address = chosen.address or free_address(4)
    if chosen.server == "tercet":
        return Tercet(folder, address, chosen.binary)
    return SERVERS[chosen.server](folder, address)


async def play(one: Scenario, server: Server, folder: pathlib.Path) -> tuple[Scenario, float, str | None]:
    """Plays one scenario; returns its time and, if it failed, the report."""
    stage = Stage(server, folder / f"{one.group}.{one.name}")
    began = time.monotonic()
    report = None
    try:
        async with asyncio.timeout(one.limit) as limit:
            await one.body(stage)
    except Exception as error:
        report = "".join(traceback.format_exception(error))
        if limit.expired():
            report = f"not done within {one.limit:.0f} s\n{report}"
    if report is not None:
        report += stage.dialogue()
    await stage.close()
    return one, time.monotonic() - began, report


async def play_all(chosen: argparse.Namespace, server: Server, folder: pathlib.Path) -> list[str]:
    """Plays the chosen scenarios side by side; returns the titles of those that failed."""
    texts = [text for text in chosen.only.split(",") if text]
    todo = [one for one in SCENARIOS if server.name in one.servers
            and (not texts or any(text in one.title for text in texts))]
    gate = asyncio.Semaphore(chosen.jobs)
    failed = []

    async def one_by_one(one):
        async with gate:
            return await play(one, server, folder)

    for done in asyncio.as_completed([one_by_one(one) for one in todo]):
        one, seconds, report = await done
        print(f"{'ok  ' if report is None else 'FAIL'} {one.title} ({seconds:.1f} s)", flush=True)
        if report is not None:
            failed.append(one.title)
            print("     " + report.rstrip().replace("\n", "\n     "), flush=True)
    if server.process is None or server.process.poll() is not None:
        failed.append("the server is no longer running")
    print()
    for title in failed:
        print(f"FAILED {title}")
    print(f"{len(todo) - len([t for t in failed if t in {o.title for o in todo}])} passed, {len(failed)} failed")
    return failed if todo else ["no scenario was chosen"]


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    chosen = arguments()
    for talkative in ("aioxmpp", "slixmpp", "asyncio", "omemo.core"):
        logging.getLogger(talkative).setLevel(logging.CRITICAL)
    for module in pkgutil.iter_modules(scenarios.__path__):
        importlib.import_module(f"scenarios.{module.name}")
    if chosen.list:
        for one in SCENARIOS:
            print(one.title)
        return 0
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tercet-e2e-"))
    server = make_server(chosen, folder / "server")
    failed = ["the server did not start or stop as it must"]
    try:
        subprocess.run(server.add_user_command(f"{ADMIN[0]}@{server.domain}", ADMIN[1], True), check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        server.start()
        if chosen.command:
            environment = dict(os.environ, E2E_ADDRESS=server.address, E2E_DOMAIN=server.domain,
                               E2E_CA_FILE=str(server.ca_file), E2E_PID=str(server.process.pid))
            return subprocess.run(chosen.command, env=environment).returncode
        failed = asyncio.run(play_all(chosen, server, folder))
        server.stop()
    finally:
        server.kill()
        if failed and not chosen.command:
            print(f"--- the end of the server's log ({server.log_file})\n{server.log_tail()}", file=sys.stderr)
        if not failed and not chosen.keep or chosen.command:
            shutil.rmtree(folder)
        else:
            print(f"all logs: {folder}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
