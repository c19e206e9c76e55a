"""Many messaging clients in one process, told what to do through a pipe.

It reads a JSON line {"port": .., "kind": .., "tokens": [..]}, opens a connection for each token,
waits until each has its `welcome`, answers every Ping, and counts what arrives. Then it obeys
lines, each answered by one JSON line:

    rooms SIZE                     put them into Rooms of so many
    send KIND WINDOW SECONDS RATE  have them write in turn, `direct` or `room`, so many at once, or
                                   so many in a second; and wait until everything has arrived
    closures N SECONDS             wait until so many were closed: who, and when

`kind` is `raw`, `framed` or `streaming`; only raw ones can write.
"""

import base64
import itertools
import json
import os
import re
import resource
import select
import socket
import time
from array import array
from collections.abc import Iterator

import attrs
from tests.bench.percentiles import percentile

TEXT, CLOSE, PING, PONG = 0x81, 0x88, 0x89, 0x8A
UNMASKED = b"\0\0\0\0"
STAMP = re.compile(rb"t=(\d+);")
ROOM_ID = re.compile(rb'"channel-id":"([^"]+)"')
ACK, NOT_ACKED = b'{"type":"ack"', b'"status":false'
MESSAGES = b'{"type":"direct-message"', b'{"type":"channel-message"'
INVITATION = b'{"type":"invitation"'
WELCOME = b"welcome"
HANDSHAKES = 256
RECEIVE = 1 << 18
PATIENCE = 60.0
MILLION = 1e6
FILLER = "x" * 120


@attrs.define(eq=False)
class Member:
    """One connection; `room` is its Room's id, `to` the subscriber it writes to."""

    sock: socket.socket
    number: int
    rest: bytes = b""
    is_welcome: bool = False
    room: str = ""
    is_asking: bool = False


class Crowd:
    """All clients and what they have received."""

    def __init__(self, port: int, kind: str, tokens: list[str]) -> None:
        self._port = port
        self._kind = kind
        self._tokens = tokens
        self._epoll = select.epoll()
        self._members: dict[int, Member] = {}
        self._by_number: list[Member] = []
        self._closures: list[tuple[int, int]] = []
        self._welcomed = self._acked = self._received = self._refused = 0
        self._taken: array[float] = array("d")
        self._acks: array[float] = array("d")
        self._started_at: dict[int, int] = {}
        self._ids = itertools.count()

    # -- connecting ----------------------------------------------------------------------------

    def connect(self) -> float:
        """Open all, so many under way at once; the seconds until the last `welcome`."""
        started = time.monotonic()
        for number in range(len(self._tokens)):
            while number - self._welcomed >= HANDSHAKES:
                self._turn()
            self._dial(number)
        while self._welcomed < len(self._tokens):
            self._turn()
        return time.monotonic() - started

    def _dial(self, number: int) -> None:
        sock = socket.create_connection(("127.0.0.1", self._port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(self._request(number))
        member = Member(sock, number)
        self._members[sock.fileno()] = member
        self._by_number.append(member)
        self._epoll.register(sock, select.EPOLLIN)

    def _request(self, number: int) -> bytes:
        authorization = f"Authorization: Bearer {self._tokens[number]}"
        if self._kind == "streaming":
            return (
                f"POST /messaging/000/bench{number}/xhr_streaming HTTP/1.1\r\nHost: bench\r\n"
                f"{authorization}\r\nContent-Length: 0\r\n\r\n"
            ).encode()
        path = f"000/bench{number}/websocket" if self._kind == "framed" else "websocket"
        key = base64.b64encode(os.urandom(16)).decode()
        return (
            f"GET /messaging/{path} HTTP/1.1\r\nHost: bench\r\n{authorization}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode()

    # -- receiving -----------------------------------------------------------------------------

    def _turn(self, patience: float = 0.1) -> None:
        for descriptor, _ in self._epoll.poll(patience):
            member = self._members.get(descriptor)
            if member is not None:
                self._receive(member)

    def _receive(self, member: Member) -> None:
        try:
            data = member.sock.recv(RECEIVE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self._gone(member)
        elif member.is_welcome and self._kind != "streaming":
            self._frames(member, member.rest + data)
        else:
            self._greeting(member, member.rest + data)

    def _greeting(self, member: Member, data: bytes) -> None:
        """The head, and what comes up to the `welcome`, whatever is around that."""
        if member.is_welcome:
            return
        member.rest = data
        if not data.startswith((b"HTTP/1.1 101", b"HTTP/1.1 200")):
            raise SystemExit(f"refused: {data.decode(errors='replace')}")
        if WELCOME in data:
            member.is_welcome, member.rest = True, b""
            self._welcomed += 1
            if self._kind != "streaming":
                self._frames(member, data.partition(b"\r\n\r\n")[2])

    def _frames(self, member: Member, data: bytes) -> None:
        at = 0
        while len(data) - at >= 2:
            first, length, start = data[at], data[at + 1], at + 2
            if length == 126:
                start += 2
                length = int.from_bytes(data[at + 2 : start])
            elif length == 127:
                start += 8
                length = int.from_bytes(data[at + 2 : start])
            if len(data) < start + length:
                break
            self._frame(member, first, data[start : start + length])
            at = start + length
        member.rest = data[at:]

    def _frame(self, member: Member, first: int, payload: bytes) -> None:
        if first == PING:
            self._write(member, PONG, payload)
        elif first == CLOSE:
            self._closures.append((member.number, time.monotonic_ns()))
            self._write(member, CLOSE, payload)
        elif payload.startswith(MESSAGES):
            self._received += 1
            stamp = STAMP.search(payload)
            if stamp is not None:
                self._taken.append((time.monotonic_ns() - int(stamp[1])) / MILLION)
        elif payload.startswith(ACK):
            self._acknowledged(member, payload)
        elif payload.startswith(INVITATION):
            found = ROOM_ID.search(payload)
            member.room = found[1].decode() if found else ""

    def _acknowledged(self, member: Member, payload: bytes) -> None:
        self._acked += 1
        self._refused += NOT_ACKED in payload
        member.is_asking = False
        started = self._started_at.pop(member.number, None)
        if started is not None:
            self._acks.append((time.monotonic_ns() - started) / MILLION)

    def _gone(self, member: Member) -> None:
        self._epoll.unregister(member.sock)
        del self._members[member.sock.fileno()]
        member.sock.close()

    def _write(self, member: Member, first: int, payload: bytes) -> None:
        size = len(payload)
        length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2)
        member.sock.sendall(bytes((first,)) + length + UNMASKED + payload)

    # -- asking --------------------------------------------------------------------------------

    def _ask(self, member: Member, **fields: str) -> None:
        member.is_asking = True
        asked = {name.replace("_", "-"): value for name, value in fields.items()}
        self._write(member, TEXT, json.dumps({"id": f"{next(self._ids)}", **asked}).encode())

    def _all_answered(self, members: Iterator[Member]) -> None:
        deadline = time.monotonic() + PATIENCE
        for member in members:
            while member.is_asking and time.monotonic() < deadline:
                self._turn()
        if self._refused:
            raise SystemExit(f"{self._refused} were refused")

    def put_into_rooms(self, size: int) -> None:
        """So many in each, the first of them as its maker."""
        makers = self._by_number[::size]
        for maker in makers:
            self._ask(maker, type="create-channel", name="bench", invite_token="come")
        self._all_answered(iter(makers))
        for place in range(1, size):
            joining = self._by_number[place::size]
            for maker, member in zip(makers, joining, strict=False):
                member.room = maker.room
                self._ask(member, type="join-channel", channel_id=maker.room, invite_token="come")
            self._all_answered(iter(joining))

    def send(self, kind: str, window: int, seconds: float, rate: float) -> dict[str, float]:
        """Write in turn; figures of what came of it, times in milliseconds."""
        self._begin()
        started, worked = time.monotonic(), time.process_time()
        sent = 0
        receivers = 1 if kind == "direct" else len(self._by_number) // self._rooms() - 1
        writers = itertools.cycle(self._by_number)
        while (now := time.monotonic()) < started + seconds:
            due = started + sent / rate if rate else now
            if due <= now and (rate or sent - self._acked < window):
                self._send_one(kind, next(writers), int(due * 1e9))
                sent += 1
                self._turn(0)
            else:
                self._turn(min(0.02, max(0.0, due - now)) if rate else 0.02)
        deadline = time.monotonic() + PATIENCE
        while self._received < sent * receivers or self._acked < sent:
            self._turn()
            if time.monotonic() > deadline:
                raise SystemExit(f"{self._received} of {sent * receivers} messages arrived")
        elapsed = time.monotonic() - started
        return {
            "sent": sent,
            "received": self._received,
            "refused": self._refused,
            "seconds": elapsed,
            "busy": (time.process_time() - worked) / elapsed,
            **_percentiles("", self._taken),
            **_percentiles("ack_", self._acks),
        }

    def _send_one(self, kind: str, member: Member, stamp: int) -> None:
        while member.is_asking:
            self._turn()
        self._started_at[member.number] = stamp
        content = f"t={stamp}; {FILLER}"
        if kind == "direct":
            other = (member.number + 1) % len(self._by_number)
            self._ask(member, type="direct-message", subscriber_id=f"user{other}", content=content)
        else:
            self._ask(member, type="channel-message", channel_id=member.room, content=content)

    def _rooms(self) -> int:
        return len({member.room for member in self._by_number})

    def _begin(self) -> None:
        self._received = self._acked = self._refused = 0
        self._taken, self._acks = array("d"), array("d")
        self._started_at = {}

    def closures(self, number: int, seconds: float) -> list[tuple[int, int]]:
        """Who was closed and when (`time.monotonic_ns`), once so many were."""
        deadline = time.monotonic() + seconds
        while len(self._closures) < number and time.monotonic() < deadline:
            self._turn()
        found, self._closures = self._closures, []
        return found

    # -- obeying -------------------------------------------------------------------------------

    def serve(self) -> None:
        """Receive and obey until the pipe ends."""
        commands = os.fdopen(os.dup(0), "rb", buffering=0)
        self._epoll.register(commands, select.EPOLLIN)
        while True:
            for descriptor, _ in self._epoll.poll():
                if descriptor == commands.fileno():
                    if not self._obey(commands.readline().decode().split()):
                        return
                elif descriptor in self._members:
                    self._receive(self._members[descriptor])

    def _obey(self, words: list[str]) -> bool:
        match words:
            case ["rooms", size]:
                self.put_into_rooms(int(size))
                _say(None)
            case ["send", kind, window, seconds, rate]:
                _say(self.send(kind, int(window), float(seconds), float(rate)))
            case ["closures", number, seconds]:
                _say(self.closures(int(number), float(seconds)))
            case _:
                return False
        return True


def _percentiles(prefix: str, taken: "array[float]") -> dict[str, float]:
    ordered = sorted(taken)
    return {
        f"{prefix}p50_ms": percentile(ordered, 0.5),
        f"{prefix}p99_ms": percentile(ordered, 0.99),
    }


def _say(answer: object) -> None:
    print(json.dumps(answer), flush=True)


def main() -> None:
    """Read the task, connect, say so, and serve."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    task = b""
    while not task.endswith(b"\n"):  # unbuffered: the commands that follow are for epoll
        task += os.read(0, RECEIVE)
    crowd = Crowd(**json.loads(task))
    _say(crowd.connect())
    crowd.serve()


if __name__ == "__main__":
    main()
