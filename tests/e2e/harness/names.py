"""A name server for the scenarios, on a loopback port of its own: the names of the servers that take part, and no others."""

import socket
import struct
import threading

A, SOA, AAAA, SRV = 1, 6, 28, 33
_NO_SUCH_NAME = 3


class Names:
    """Answers questions over UDP until it is closed."""

    def __init__(self, address: str):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 0))
        self.address, self.port = self._socket.getsockname()
        self._records: dict[tuple[str, int], list[bytes]] = {}
        self.asked: list[tuple[str, int]] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def host(self, name: str, address: str) -> None:
        """`name` has this IPv4 address."""
        self._records[name, A] = [socket.inet_aton(address)]

    def service(self, name: str, target: str, port: int, priority: int = 0) -> None:
        """A SRV record more: `name` begins with the service, as `_xmpp-server._tcp`."""
        self._records.setdefault((name, SRV), []).append(struct.pack(">HHH", priority, 0, port) + _encoded(target))

    def close(self) -> None:
        """Ends it; who asks afterwards gets no answer."""
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                question, sender = self._socket.recvfrom(4096)
            except OSError:
                return
            try:
                self._socket.sendto(self._answer(question), sender)
            except (OSError, IndexError, struct.error, UnicodeDecodeError):
                continue

    def _answer(self, question: bytes) -> bytes:
        labels, place = [], 12
        while question[place]:
            labels.append(question[place + 1:place + 1 + question[place]].decode().lower())
            place += 1 + question[place]
        kind, = struct.unpack_from(">H", question, place + 1)
        name = ".".join(labels)
        self.asked.append((name, kind))
        records = self._records.get((name, kind), [])
        known = any(name == known or known.endswith(f".{name}") for known, _ in self._records)
        flags = 0x8580 | (0 if known else _NO_SUCH_NAME)
        zone = b"" if records else _NOTHING
        head = question[:2] + struct.pack(">HHHHH", flags, 1, len(records), 0 if records else 1, 0)
        answers = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(data)) + data for data in records)
        return head + question[12:place + 5] + answers + zone


def _encoded(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def _nothing() -> bytes:
    data = _encoded("ns.test") + _encoded("nobody.test") + struct.pack(">IIIII", 1, 60, 60, 60, 1)
    return _encoded("test") + struct.pack(">HHIH", SOA, 1, 1, len(data)) + data


_NOTHING = _nothing()
"""The zone's own record, which comes with the answer that there is none."""
