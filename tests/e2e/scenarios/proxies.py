"""A reverse proxy (nginx) and a load balancer (HAProxy) in front: clients get through them, and the log is about the clients."""

import asyncio
import contextlib
import copy
import pathlib
import re
import socket
import subprocess
import time

from harness.people import pair
from harness.scenario import Stage, scenario
from harness.slix import Slix
from harness.web import StropheJs, Web

from .operations import ONLY_HERE, own_server

# Where they connect from; everybody else is at 127.0.0.1.
PROXY = "127.0.3.7"

NGINX = """
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen {address}:8080;
        location / {{
            proxy_pass http://{address}:5280;
            proxy_bind {proxy};
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $http_connection;
            proxy_read_timeout 120s;
        }}
    }}
}}
"""

HAPROXY = """
global
    log stderr local0 err
defaults
    mode tcp
    timeout connect 5s
    timeout client 2m
    timeout server 2m
frontend clients
    bind {address}:8222
    default_backend server
backend server
    source {proxy}
    server one {address}:5222 send-proxy-v2
"""


@contextlib.asynccontextmanager
async def program(command: list[str], address: str, port: int):
    """Runs a program until the end, once it listens."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection((address, port), 1).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, f"{command[0]} does not listen"
                await asyncio.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(10)


def through(stage: Stage, **ports: int) -> Stage:
    """The same stage as one sees it from before the proxy."""
    before = copy.copy(stage)
    before.server = copy.copy(stage.server)
    for name, port in ports.items():
        setattr(before.server, name, port)
    return before


@scenario(servers=ONLY_HERE)
async def web_clients_talk_through_nginx_and_the_log_names_them(stage: Stage):
    async with own_server(stage, start=False) as beside:
        server = beside.server
        with open(server.config, "a", encoding="utf-8") as config:
            config.write(f'\n[http]\ntrusted_proxies = ["{PROXY}"]\n')
        await asyncio.to_thread(server.start)
        file = pathlib.Path(server.folder) / "nginx.conf"
        file.write_text(NGINX.format(folder=server.folder, address=server.address, proxy=PROXY))
        async with program(["nginx", "-p", str(server.folder), "-c", str(file), "-g", "daemon off;"], server.address, 8080):
            before = through(beside, http_port=8080)
            romeo = await Web(before, await beside.account("romeo")).login()
            juliet = await StropheJs(before, await beside.account("juliet")).login()
            for turn in range(3):
                romeo.message(juliet.jid, f"by WebSocket {turn}")
                await juliet.inbox.message(f"by WebSocket {turn}", from_=romeo.jid)
                juliet.message(romeo.jid, f"by BOSH {turn}")
                await romeo.inbox.message(f"by BOSH {turn}", from_=juliet.jid)
            lines = [line for line in server.log_file.read_text().splitlines() if "path=\"/bosh\"" in line]
            assert lines and all("peer=127.0.0.1 " in line for line in lines), lines[:3]


@scenario(servers=ONLY_HERE)
async def a_client_talks_through_haproxy_and_the_log_names_it(stage: Stage):
    async with own_server(stage, start=False) as beside:
        server = beside.server
        text = server.config.read_text().replace("[listen]", f'[listen]\nbalancers = ["{PROXY}"]\nbalanced = ["c2s"]')
        server.config.write_text(text + '\n[log]\nlevel = "debug"\n')
        await asyncio.to_thread(server.start)
        file = pathlib.Path(server.folder) / "haproxy.cfg"
        file.write_text(HAPROXY.format(address=server.address, proxy=PROXY))
        async with program(["haproxy", "-db", "-f", str(file)], server.address, 8222):
            romeo, = await pair(through(beside, c2s_port=8222), "romeo")
            juliet = await Slix(beside, await beside.account("juliet")).login()
            romeo.message(juliet.jid, "through HAProxy")
            await juliet.inbox.message("through HAProxy", from_=romeo.jid)
            bound = re.findall(rf"session bound.*{re.escape(str(romeo.jid))}.*", server.log_file.read_text())
            assert bound and "peer=127.0.0.1:" in bound[0], bound
