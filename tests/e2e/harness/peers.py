"""Servers of other makers that speak with the one under test: each on a loopback address of its own, with names from a name
server of the scenario's own and a certificate of a local authority."""

import asyncio
import contextlib
import itertools
import pathlib
import tempfile

from .certs import Certificates
from .names import Names
from .scenario import Stage
from .servers import DOMAIN, Ejabberd, Prosody, Server, Tercet, free_address

_addresses = itertools.count(150)


class ProsodyPeer(Prosody):
    """Prosody for the domain `prosody.test`, with rooms and shared files."""

    domain = "prosody.test"
    rooms = "rooms.prosody.test"
    uploads = "uploads.prosody.test"

    def __init__(self, folder: pathlib.Path, address: str):
        super().__init__(folder, address)
        _identify(self)

    def configure(self, names: Names, secure: bool) -> None:
        """`secure`: certificates have to be right; else dialback is enough."""
        folder = self.folder
        authority = f', cafile = "{self.trusted}"' if secure else ""
        self.config.write_text(f"""\
run_as_root = true
daemonize = false
pidfile = "{folder}/prosody.pid"
data_path = "{folder / 'data'}"
log = {{ {{ levels = {{ min = "debug" }}, to = "console" }} }}
modules_enabled = {{ "disco", "roster", "saslauth", "tls", "dialback", "ping", "register", "posix", "vcard_legacy", "pep", "private", "smacks", "offline" }}
interfaces = {{ "{self.address}" }}
c2s_ports = {{ {self.c2s_port} }}
c2s_direct_tls_ports = {{ {self.tls_port} }}
s2s_ports = {{ 5269 }}
s2s_direct_tls_ports = {{ 5270 }}
http_interfaces = {{ "{self.address}" }}
http_ports = {{ {self.http_port} }}
https_ports = {{ }}
s2s_require_encryption = true
s2s_secure_auth = {str(secure).lower()}
authentication = "internal_hashed"
unbound = {{
  resolvconf = false, hoststxt = false, forward = {{ "{names.address}@{names.port}" }},
  options = {{ ["do-not-query-localhost:"] = "no", ["local-zone:"] = "test. transparent" }}
}}
ssl = {{ certificate = "{self.certificates.chain}", key = "{self.certificates.key}"{authority} }}
VirtualHost "{self.domain}"
Component "{self.rooms}" "muc"
Component "{self.uploads}" "http_file_share"
    http_host = "{self.address}"
    http_external_url = "http://{self.address}:{self.http_port}/"
""")


class EjabberdPeer(Ejabberd):
    """ejabberd for the domain `ejabberd.test`, with rooms and shared files."""

    domain = "ejabberd.test"
    rooms = "rooms.ejabberd.test"
    uploads = "uploads.ejabberd.test"

    def __init__(self, folder: pathlib.Path, address: str):
        super().__init__(folder, address)
        _identify(self)

    def configure(self, names: Names, secure: bool) -> None:
        """`secure`: certificates have to be right; else dialback is enough."""
        both = self.folder / "both.pem"
        both.write_text(self.certificates.key.read_text() + self.certificates.chain.read_text())
        resolver = self.folder / "inetrc"
        resolver.write_text(f"{{resolv_conf, \"\"}}.\n{{lookup, [dns]}}.\n{{nameserver, {{{names.address.replace('.', ',')}}}, {names.port}}}.\n")
        self.environment = {"ERL_INETRC": str(resolver)}
        modules = "adhoc caps disco last offline ping private roster vcard version".split()
        if not secure:
            modules.append("s2s_dialback")
        authority = f'ca_file: "{self.trusted}"\n' if secure else ""
        self.config.write_text(f"""\
hosts: [{self.domain}]
loglevel: 4
certfiles: ["{both}"]
{authority}s2s_use_starttls: required
outgoing_s2s_families: [ipv4]
s2s_max_retry_delay: 2
outgoing_s2s_ipv4_address: "{self.address}"
listen:
  - {{port: {self.c2s_port}, ip: "{self.address}", module: ejabberd_c2s, starttls: true}}
  - {{port: {self.tls_port}, ip: "{self.address}", module: ejabberd_c2s, tls: true}}
  - {{port: 5269, ip: "{self.address}", module: ejabberd_s2s_in}}
  - {{port: 5270, ip: "{self.address}", module: ejabberd_s2s_in, tls: true}}
  - {{port: {self.http_port}, ip: "{self.address}", module: ejabberd_http, request_handlers: {{/upload: mod_http_upload}}}}
auth_password_format: scram
registration_timeout: infinity
shaper: {{}}
access_rules:
  c2s: {{allow: all}}
  register: {{allow: all}}
modules:
  mod_register: {{access: register}}
  mod_muc: {{host: "{self.rooms}"}}
  mod_pubsub: {{plugins: [flat, pep]}}
  mod_http_upload: {{host: "{self.uploads}", access: c2s, docroot: "{self.folder}/files", put_url: "http://{self.address}:{self.http_port}/upload"}}
""" + "".join(f"  mod_{m}: {{}}\n" for m in modules))

    def stop(self) -> None:
        Server.stop(self)


class TercetPeer(Tercet):
    """The server under test as one of two of its kind."""

    def __init__(self, folder: pathlib.Path, address: str, binary: pathlib.Path):
        super().__init__(folder, address, binary)
        _identify(self)

    def configure(self, names: Names, secure: bool) -> None:
        """`secure`: certificates have to be right; else dialback is enough."""
        self._replace(f'domain   = "{DOMAIN}"', f'domain   = "{self.domain}"')
        self._replace("addresses = [", "s2s = 5269\ns2s_tls = 5270\naddresses = [")
        text = self.config.read_text()
        before = self.folder / "certificates"
        for old, new in ((before / "chain.pem", self.certificates.chain), (before / "key.pem", self.certificates.key),
                         (before / "ca.crt", self.trusted)):
            assert str(old) in text
            text = text.replace(str(old), str(new))
        require = "\nrequire_server_certificate = true" if secure else ""
        text = text.replace("required    = false", f"required    = false{require}")
        text = text.replace("[archive]\nenabled = true", "[archive]\nenabled = false")
        self.config.write_text(f'{text}\n[federation]\ndns_servers = ["{names.address}:{names.port}"]\n')


PEERS = {"prosody": ProsodyPeer, "ejabberd": EjabberdPeer}


def one_of_two(name: str, domain: str, folder: pathlib.Path, address: str, binary: pathlib.Path):
    """One of two servers of the same kind, for measurements: `introduce`, `configure`, `quiet`, then `start`."""
    kind = {**PEERS, "tercet": TercetPeer}[name]

    class One(kind):
        rooms, uploads = f"rooms.{domain}", f"uploads.{domain}"

        def introduce(self, names: Names) -> None:
            names.host(domain, address)
            # ejabberd has the system look up what a record names, and the system knows addresses alone.
            names.service(f"_xmpp-server._tcp.{domain}", address if name == "ejabberd" else domain, 5269)

        def quiet(self) -> None:
            """Says less in its log, and lets anybody make accounts."""
            text = self.config.read_text().replace('min = "debug"', 'min = "warn"').replace("loglevel: 4", "loglevel: 3")
            if name == "prosody":
                text = text.replace("s2s_ports", "c2s_require_encryption = false\nallow_unencrypted_plain_auth = true\n"
                                    "allow_registration = true\ns2s_ports", 1)
            self.config.write_text(text)

    One.domain = domain
    return One(folder, address, pathlib.Path(binary).resolve()) if name == "tercet" else One(folder, address)


def _identify(peer: Server) -> None:
    """Its certificate, from an authority of its own."""
    peer.certificates = Certificates(peer.folder / "peer", [peer.domain, f"*.{peer.domain}"])
    peer.ca_file = peer.certificates.ca_file


@contextlib.asynccontextmanager
async def two_servers(stage: Stage, maker: str, secure: bool, direct: bool = False, settings: str = ""):
    """A stage here and one with a server of that maker; both run and find each other by DNS.

    `secure`: both require certificates, and trust each other's authority; else nobody trusts any, and dialback has to do.
    `direct`: SRV records name the ports for TLS from the first byte alone. `settings` go into the section `[federation]` here.
    """
    beside = stage.server.folder.parent
    peer = PEERS[maker](pathlib.Path(tempfile.mkdtemp(prefix="peer-", dir=beside)), free_address(next(_addresses)))
    server = stage.server.another(pathlib.Path(tempfile.mkdtemp(prefix="tercet-own-", dir=beside)), free_address(next(_addresses)))
    assert isinstance(server, Tercet)
    names = Names(peer.address)
    for one in (server, peer):
        services = (one.domain, one.rooms) + ((one.uploads,) if one is peer else ())
        for name in services:
            names.host(name, one.address)
            service, port = ("_xmpps-server", 5270) if direct else ("_xmpp-server", 5269)
            # ejabberd has the system look up what a record names, and the system knows addresses alone.
            names.service(f"{service}._tcp.{name}", one.address if maker == "ejabberd" else name, port)
    trusted = peer.folder / "authorities.crt"
    trusted.write_text(peer.certificates.ca_file.read_text() + server.certificates.ca_file.read_text())
    peer.trusted = trusted
    peer.configure(names, secure)
    server._replace("addresses = [", "s2s = 5269\ns2s_tls = 5270\naddresses = [")
    if secure:
        server._replace(f'ca_file     = "{server.certificates.ca_file}"',
                        f'ca_file     = "{trusted}"\nrequire_server_certificate = true')
    with open(server.config, "a", encoding="utf-8") as config:
        config.write(f'\n[federation]\ndns_servers = ["{names.address}:{names.port}"]\n{settings}\n'
                     f'[http]\npublic_url = "http://{server.address}:{server.http_port}"\n')
    here, there = Stage(server, stage.folder), Stage(peer, stage.folder)
    try:
        await asyncio.gather(asyncio.to_thread(server.start), asyncio.to_thread(peer.start))
        yield here, there
    except Exception:
        stage.note(here.dialogue() + "\n" + there.dialogue() + "\n" + peer.log_tail(300) + "\n" + server.log_tail(200))
        raise
    finally:
        await here.close()
        await there.close()
        server.kill()
        peer.kill()
        names.close()
