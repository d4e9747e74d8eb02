"""One large upload and its download, while the server's memory is watched. See `upload`."""

import asyncio
import http.client
import os
import pathlib
import shutil
import sys
import tempfile
import threading
import time
import urllib.parse

from harness.scenario import Stage
from harness.servers import Tercet, free_address
from harness.slix import Slix

PIECE = os.urandom(1 << 20)
NS = "{urn:xmpp:http:upload:0}"


class Watch(threading.Thread):
    """The largest VmRSS of a process since the start, in KiB."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self.pid, self.most, self.over = pid, 0, threading.Event()

    def now(self) -> int:
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))

    def run(self) -> None:
        while not self.over.wait(0.02):
            self.most = max(self.most, self.now())

    def cpu(self) -> float:
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def put(url: str, size: int) -> None:
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=600)
    connection.putrequest("PUT", f"{parts.path}?{parts.query}")
    connection.putheader("Content-Length", str(size))
    connection.endheaders()
    for at in range(0, size, len(PIECE)):
        connection.send(PIECE[:size - at])
    answer = connection.getresponse()
    assert answer.status == 201, (answer.status, answer.read())


def get(url: str, size: int) -> None:
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=600)
    connection.request("GET", parts.path)
    answer = connection.getresponse()
    for at in range(0, size, len(PIECE)):
        assert answer.read(len(PIECE)) == PIECE[:size - at], at
    assert not answer.read()


async def main(binary: str, size: int = 1 << 30) -> None:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tercet-upload-"))
    server = Tercet(folder, free_address(200), pathlib.Path(binary).resolve())
    with open(server.config, "a", encoding="utf-8") as config:
        config.write(f'\n[http]\npublic_url = "http://{server.address}:{server.http_port}"\n'
                     '[upload]\nfile_size = "8 GiB"\nquota = "8 GiB"\n')
    server.start()
    stage = Stage(server, folder)
    try:
        romeo = await Slix(stage, await stage.account("romeo")).login()

        async def slot(size: int) -> tuple[str, str]:
            result = await romeo.iq("get", f"<request xmlns='urn:xmpp:http:upload:0' filename='a' size='{size}'/>",
                                    server.domain)
            return result.find(f".//{NS}put").get("url"), result.find(f".//{NS}get").get("url")

        watch = Watch(server.process.pid)
        before = watch.now()
        watch.start()
        up, down = await slot(size)
        for name, work in (("upload", lambda: put(up, size)), ("download", lambda: get(down, size))):
            begun, cpu = time.monotonic(), watch.cpu()
            await asyncio.to_thread(work)
            print(f"{name}: {size / (1 << 20):.0f} MiB in {time.monotonic() - begun:.1f} s, "
                  f"{watch.cpu() - cpu:.2f} s of the server's CPU, "
                  f"resident {before / 1024:.1f} MiB before, {watch.most / 1024:.1f} MiB at most: "
                  f"{(watch.most - before) / 1024:+.1f} MiB", flush=True)
        watch.over.set()
    finally:
        await stage.close()
        server.kill()
        shutil.rmtree(folder)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:3])))
