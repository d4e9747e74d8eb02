"""XEP-0215: services for calls. What the server tells users opens a relay of coturn, which knows no more than the shared secret."""

import asyncio
import contextlib
import shutil
import tempfile

from harness.scenario import TIMEOUT, Stage, scenario
from harness.slix import Slix
from .operations import ONLY_HERE, own_server

NS = "urn:xmpp:extdisco:2"
PORT = 3478
SECRET = "a secret that coturn has, too"


@contextlib.asynccontextmanager
async def coturn(address: str):
    """coturn as Debian has it, on that address alone."""
    folder = tempfile.mkdtemp(prefix="tercet-coturn-")
    words = ["--no-cli", "--no-tls", "--no-dtls", "--use-auth-secret", f"--static-auth-secret={SECRET}",
             "--realm=calls.test", f"--listening-ip={address}", f"--relay-ip={address}",
             f"--listening-port={PORT}", "--allow-loopback-peers", "--log-file=stdout", "--simple-log",
             f"--pidfile={folder}/pid", f"--userdb={folder}/db", "-c", "/dev/null"]
    process = await asyncio.create_subprocess_exec("turnserver", *words, stdout=asyncio.subprocess.DEVNULL,
                                                   stderr=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(TIMEOUT):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(address, PORT)
                    writer.close()
                    break
                await asyncio.sleep(0.05)
        yield
    finally:
        process.kill()
        await process.wait()
        shutil.rmtree(folder)


async def relays(address: str, username: str, password: str) -> bool:
    """Whether coturn's own client gets a relay with these, and packets through it."""
    client = await asyncio.create_subprocess_exec(
        "turnutils_uclient", "-y", "-n", "3", "-m", "1", "-L", address, "-p", str(PORT), "-u", username, "-w", password, address,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    said, _ = await asyncio.wait_for(client.communicate(), 30)
    return client.returncode == 0 and b"Total lost packets 0 " in said


@scenario(servers=ONLY_HERE)
async def what_users_are_told_opens_the_relay_for_calls(stage: Stage):
    async with own_server(stage, start=False) as beside:
        address = beside.server.address
        with open(beside.server.config, "a", encoding="utf-8") as config:
            config.write(f'\n[[service]]\nkind = "stun"\naddress = "{address}"\n'
                         f'\n[[service]]\nkind = "turn"\naddress = "{address}"\nsecret = "{SECRET}"\nlifetime = "1 h"\n')
        await asyncio.to_thread(beside.server.start)
        async with coturn(address):
            romeo = await Slix(beside, await beside.account("romeo")).login()
            answer = await romeo.iq("get", f"<services xmlns='{NS}'/>", romeo.account.domain)
            stun, turn = answer.iter(f"{{{NS}}}service")
            assert (stun.get("type"), stun.get("host"), stun.get("port")) == ("stun", address, str(PORT)), stun.attrib
            assert stun.get("password") is None and turn.get("restricted") == "true", turn.attrib
            assert await relays(address, turn.get("username"), turn.get("password"))
            assert not await relays(address, turn.get("username"), "a guess")
            # Nobody's: the time in the name is what the password is for.
            later = str(int(turn.get("username").split(":")[0]) + 1)
            assert not await relays(address, later, turn.get("password"))
