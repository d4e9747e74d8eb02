"""The servers that the scenarios can run against, each with its own folder and loopback address.

`Tercet` is the server under test; `Prosody` is a peer that tests the scenarios themselves.
"""

import asyncio
import itertools
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import time

from .certs import Certificates

DOMAIN = "tercet.test"
SECOND_DOMAIN = "second.test"
ADMIN = ("admin", "admin")
START_SECONDS = 30
STOP_SECONDS = 15


class ServerFailed(Exception):
    """The server did not start, stop or answer as it must."""


STANDARD_PORTS = (5222, 5223, 5269, 5270, 5280, 5281, 5347)


def all_free(address: str) -> bool:
    """Whether nothing listens at the standard XMPP ports of this address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for port in STANDARD_PORTS:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True


_given: dict[str, float] = {}


def free_address(first: int) -> str:
    """The first of 127.0.1.`first`, … on which nothing listens at the standard XMPP ports, and that nobody was given in the last
    half minute, who may only be about to listen."""
    for last in range(first, 250):
        address = f"127.0.1.{last}"
        if time.monotonic() - _given.get(address, -60) > 30 and all_free(address):
            _given[address] = time.monotonic()
            return address
    raise ServerFailed("no loopback address has the standard ports free")


class Server:
    """A server process in the foreground, its data and its log in `folder`."""

    name = "server"
    domain = DOMAIN
    second_domain = SECOND_DOMAIN
    rooms = f"rooms.{DOMAIN}"
    c2s_port = 5222
    tls_port = 5223
    http_port = 5280
    bosh_path = "/bosh"
    bosh_host = "localhost"

    def __init__(self, folder: pathlib.Path, address: str):
        self.folder = folder
        self.address = address
        self.log_file = folder / "server.log"
        self.process: subprocess.Popen | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.certificates = Certificates(folder / "certificates", [DOMAIN, SECOND_DOMAIN, f"*.{DOMAIN}"])
        self.ca_file = self.certificates.ca_file
        self.ca_folder = self.certificates.ca_folder

    def another(self, folder: pathlib.Path, address: str) -> "Server":
        """One more of this kind, with data of its own."""
        return type(self)(folder, address)

    def start(self) -> None:
        """Starts the process; returns once it accepts clients."""
        raise NotImplementedError

    def archive(self, on: bool) -> None:
        """Before the start: with an archive for everybody, or without. For measurements."""
        raise NotImplementedError

    def _replace(self, old: str, new: str) -> None:
        text = self.config.read_text()
        assert old in text, f"{self.config} says nothing of {old}"
        self.config.write_text(text.replace(old, new, 1))

    def add_user_command(self, jid: str, password: str, admin: bool) -> list[str]:
        """The command line that makes an account."""
        raise NotImplementedError

    async def add_user(self, jid: str, password: str, admin: bool = False) -> None:
        """Makes an account with the server's own command."""
        process = await asyncio.create_subprocess_exec(
            *self.add_user_command(jid, password, admin), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output, _ = await asyncio.wait_for(process.communicate(), 30)
        if process.returncode:
            raise ServerFailed(f"adding {jid} failed:\n{output.decode(errors='replace')}")

    def stop(self) -> None:
        """SIGTERM; the server must end by itself with status 0."""
        if self.process is None:
            return
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise ServerFailed(f"still running {STOP_SECONDS} s after SIGTERM") from None
        if status:
            raise ServerFailed(f"ended with status {status} after SIGTERM")

    def kill(self) -> None:
        """SIGKILL: no chance to write anything."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def log_tail(self, lines: int = 40) -> str:
        """The end of the server's log."""
        if not self.log_file.exists():
            return ""
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])

    def _spawn(self, command: list[str], stdout, cwd=None) -> subprocess.Popen:
        with open(self.log_file, "ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd=cwd,
                                    stdout=log if stdout is None else stdout, stderr=log)

    def _wait_for_port(self, port: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self.process.poll() is not None:
                raise ServerFailed(f"the server ended at its start:\n{self.log_tail()}")
            try:
                socket.create_connection((self.address, port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise ServerFailed(f"nothing listens on {self.address}:{port}:\n{self.log_tail()}") from None
                time.sleep(0.02)


class Tercet(Server):
    """The server under test, with the lab profile of its manual."""

    name = "tercet"

    def __init__(self, folder: pathlib.Path, address: str, binary: pathlib.Path):
        super().__init__(folder, address)
        self.binary = binary
        self.config = folder / "tercet.toml"
        self.data = folder / "data"
        self.config.write_text(f"""\
domain   = "{DOMAIN}"
data_dir = "{self.data}"

[listen]
addresses = ["{address}"]

[tls]
certificate = "{self.certificates.chain}"
key         = "{self.certificates.key}"
ca_file     = "{self.certificates.ca_file}"
required    = false

[registration]
policy = "open"

[limits]
rates = false

[proxy]
address = "{address}"

[archive]
enabled = true

[[host]]
domain = "{SECOND_DOMAIN}"
""")

    def another(self, folder: pathlib.Path, address: str) -> Server:
        return Tercet(folder, address, self.binary)

    def archive(self, on: bool) -> None:
        on = str(on).lower()
        self._replace("[archive]\nenabled = true", f"[archive]\nenabled = {on}\n\n[rooms]\ndefault_archived = {on}")

    def start(self) -> None:
        self.process = self._spawn([str(self.binary), "serve", "--config", str(self.config)], subprocess.PIPE)
        self.process.stdout = await_ready(self.process, self)

    def add_user_command(self, jid: str, password: str, admin: bool) -> list[str]:
        command = [str(self.binary), "--config", str(self.config), "user", "add", jid, "--password", password]
        return command + ["--admin"] if admin else command


def await_ready(process: subprocess.Popen, server: Server):
    """Reads standard output until the line `ready`; the rest of it is left to the caller."""
    deadline = time.monotonic() + START_SECONDS
    os.set_blocking(process.stdout.fileno(), False)
    seen = b""
    while b"ready" not in seen.splitlines():
        piece = process.stdout.read()
        if piece:
            seen += piece
        elif process.poll() is not None:
            raise ServerFailed(f"the server ended at its start:\n{server.log_tail()}")
        elif time.monotonic() > deadline:
            raise ServerFailed(f"no line `ready` within {START_SECONDS} s:\n{server.log_tail()}")
        else:
            time.sleep(0.005)
    return process.stdout


class Prosody(Server):
    """A peer: Prosody 0.12 or later as installed on the machine."""

    name = "prosody"
    bosh_path = "/http-bind"
    bosh_host = DOMAIN

    def __init__(self, folder: pathlib.Path, address: str):
        super().__init__(folder, address)
        self.config = folder / "prosody.cfg.lua"
        data = folder / "data"
        data.mkdir(exist_ok=True)
        modules = ("disco roster saslauth tls blocklist private vcard ping register time version uptime "
                   "lastactivity admin_adhoc announce posix server_contact_info bosh").split()
        self.config.write_text(f"""\
run_as_root = true
daemonize = false
pidfile = "{folder}/prosody.pid"
data_path = "{data}"
log = {{ {{ levels = {{ min = "info" }}, to = "console" }} }}
admins = {{ "{ADMIN[0]}@{DOMAIN}" }}
modules_enabled = {{ {", ".join(f'"{m}"' for m in modules)} }}
modules_disabled = {{ "s2s" }}
interfaces = {{ "{address}" }}
c2s_ports = {{ {self.c2s_port} }}
c2s_direct_tls_ports = {{ {self.tls_port} }}
c2s_require_encryption = false
http_interfaces = {{ "{address}" }}
http_ports = {{ {self.http_port} }}
https_ports = {{ }}
consider_bosh_secure = true
allow_unencrypted_plain_auth = true
allow_registration = true
authentication = "internal_hashed"
contact_info = {{ abuse = {{ "mailto:abuse@{DOMAIN}" }} }}
ssl = {{ certificate = "{self.certificates.chain}", key = "{self.certificates.key}" }}
VirtualHost "{DOMAIN}"
VirtualHost "{SECOND_DOMAIN}"
Component "rooms.{DOMAIN}" "muc"
    name = "Rooms"
    modules_enabled = {{ "muc_mam" }}
    muc_log_by_default = true
    muc_event_rate = 100000
    muc_burst_factor = 10000
""")

    def archive(self, on: bool) -> None:
        if not on:
            self._replace('{ "muc_mam" }', "{ }")
        else:
            self._replace("modules_enabled = {", 'modules_enabled = { "mam", "smacks",')
            self._replace("admins = {", "archive_expires_after = \"never\"\nmax_archive_query_results = 250\nadmins = {")

    def start(self) -> None:
        self.process = self._spawn(["prosody", "--config", str(self.config), "-F"], None)
        self._wait_for_port(self.tls_port)

    def add_user_command(self, jid: str, password: str, admin: bool) -> list[str]:
        local, domain = jid.split("@")
        return ["prosodyctl", "--config", str(self.config), "register", local, domain, password]


class Ejabberd(Server):
    """A peer for measurements and between servers: ejabberd as installed on the machine."""

    name = "ejabberd"
    environment: dict[str, str] = {}
    _nodes = itertools.count(1)

    def __init__(self, folder: pathlib.Path, address: str):
        super().__init__(folder, address)
        self.config = folder / "ejabberd.yml"
        self._node = next(self._nodes)
        both = folder / "both.pem"
        both.write_text(pathlib.Path(self.certificates.key).read_text() + pathlib.Path(self.certificates.chain).read_text())
        modules = "adhoc caps disco last offline ping private roster vcard version blocking privacy".split()
        self.config.write_text(f"""\
hosts: [{DOMAIN}, {SECOND_DOMAIN}]
loglevel: 3
certfiles: ["{both}"]
listen:
  - {{port: {self.c2s_port}, ip: "{address}", module: ejabberd_c2s, starttls: true}}
  - {{port: {self.tls_port}, ip: "{address}", module: ejabberd_c2s, tls: true}}
auth_password_format: scram
registration_timeout: infinity
shaper: {{}}
access_rules:
  c2s: {{allow: all}}
  register: {{allow: all}}
modules:
  mod_register: {{access: register}}
  mod_muc: {{host: "rooms.@HOST@", access_mam: all, max_users: 5000, min_message_interval: 0, min_presence_interval: 0, max_user_conferences: 10000}}
""" + "".join(f"  mod_{m}: {{}}\n" for m in modules))

    def archive(self, on: bool) -> None:
        if on:
            self._replace("modules:\n", "modules:\n  mod_mam: {default: always}\n  mod_stream_mgmt: {}\n")

    def start(self) -> None:
        environment = {
            **os.environ,
            "HOME": str(self.folder), "EJABBERD_CONFIG_PATH": str(self.config), "EJABBERD_LOG_PATH": str(self.log_file),
            "ERL_CRASH_DUMP": str(self.folder / "crash.dump"), "ERL_DIST_PORT": "0",
            **self.environment,
        }
        library = next(pathlib.Path("/usr/lib").glob("*/ejabberd-*/ebin"))
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                ["erl", "-noinput", "-sname", f"peer{os.getpid()}-{self._node}", "-kernel", "inet_dist_use_interface", "{127,0,0,1}",
                 "-pa", str(library), "-mnesia", "dir", f'"{self.folder / "db"}"', "-s", "ejabberd"],
                stdin=subprocess.DEVNULL, cwd=self.folder, stdout=log, stderr=log, env=environment)
        self._wait_for_port(self.tls_port)

    def stop(self) -> None:
        self.kill()

    def add_user_command(self, jid: str, password: str, admin: bool) -> list[str]:
        # Its command speaks to a node of the standard name only; `add_user` registers as a client does.
        return ["true"]

    async def add_user(self, jid: str, password: str, admin: bool = False) -> None:
        local, domain = jid.split("@")
        context = ssl.create_default_context(cafile=str(self.ca_file))
        reader, writer = await asyncio.open_connection(self.address, self.tls_port, ssl=context, server_hostname=domain)
        for request, answer in (
                (f"<stream:stream to='{domain}' version='1.0' xmlns='jabber:client'"
                 " xmlns:stream='http://etherx.jabber.org/streams'>", b"</stream:features>"),
                (f"<iq type='set' id='r' to='{domain}'><query xmlns='jabber:iq:register'><username>{local}</username>"
                 f"<password>{password}</password></query></iq>", b"type='result'")):
            writer.write(request.encode())
            await asyncio.wait_for(reader.readuntil(answer), 30)
        writer.close()


SERVERS = {"tercet": Tercet, "prosody": Prosody, "ejabberd": Ejabberd}
