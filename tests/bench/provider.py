"""A push provider, as a process of its own: answers like APNs, and notes when what came.

It reads of HTTP/2 what a client that pushes sends, so it is never the bottleneck. It prints its
port; then each line of its standard input is answered by one with a `Report` as JSON, of what
came since the last one. Device tokens that begin with a byte of `Fate` are treated like that.
"""

import json
import re
import ssl
import struct
import sys
import time
from enum import StrEnum

import attrs
import trio

FRAME = struct.Struct(">IBI")
DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
STREAMS = 1000
WINDOW = 1 << 24
PATH, PUSH_ID = b"/3/device/", b"apns-id"
ID = re.compile(rb'"id":"([^"]+)"')
RECEIVE = 1 << 18
# A status of the static table, then the name and the form of an id (RFC 7541).
ACCEPTED = b"\x88\x00" + bytes((len(PUSH_ID),)) + PUSH_ID + b"\x24"
REFUSED = b"\x08\x03"


class Fate(StrEnum):
    """What is done about the pushes to a token."""

    THROTTLED = "f4"
    KEY_REFUSED = "f3"
    HANGING = "ff"


ANSWERS = {
    Fate.THROTTLED.encode(): (b"429", b'{"reason":"TooManyRequests"}'),
    Fate.KEY_REFUSED.encode(): (b"403", b'{"reason":"InvalidProviderToken"}'),
}


@attrs.frozen
class Report:
    """How many pushes came, the share of a core that took, and when (CLOCK_MONOTONIC, ns) those
    with an id were there first."""

    received: int
    busy: float
    arrivals: dict[str, int]


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Any frame."""
    return FRAME.pack(len(payload) << 8 | kind, flags, stream) + payload


class Client:
    """What one connection sends, and the answers to it."""

    def __init__(self, arrivals: dict[str, int]) -> None:
        self.received = 0
        self._arrivals = arrivals
        self._rest = b""
        self._blocks: dict[int, bytes] = {}
        self._unreturned = 0

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """What is to be said at once, and the answers that may be delayed."""
        now = time.monotonic_ns()
        said, answers = [], []
        data = self._rest + data
        at = data.index(b"\r\n\r\nSM\r\n\r\n") + 10 if data.startswith(b"PRI") else 0
        while len(data) - at >= FRAME.size:
            word, flags, stream = FRAME.unpack_from(data, at)
            end = at + FRAME.size + (word >> 8)
            if end > len(data):
                break
            payload, kind = data[at + FRAME.size : end], word & 0xFF
            at = end
            if kind == HEADERS:
                self._blocks[stream] = payload
            elif kind == DATA:
                said.append(self._window(len(payload)))
                if flags & END_STREAM:
                    self._note(payload, now)
                    answers.append(_answer(stream, self._blocks.pop(stream)))
            elif kind in {SETTINGS, PING} and not flags & ACK:
                said.append(frame(kind, ACK, 0, b"" if kind == SETTINGS else payload))
        self._rest = data[at:]
        return b"".join(said), b"".join(answers)

    def _note(self, payload: bytes, now: int) -> None:
        self.received += 1
        match = ID.search(payload)
        if match is not None:
            self._arrivals.setdefault(match[1].decode(), now)

    def _window(self, size: int) -> bytes:
        self._unreturned += size
        if self._unreturned < WINDOW // 2:
            return b""
        returned, self._unreturned = self._unreturned, 0
        return frame(WINDOW_UPDATE, 0, 0, returned.to_bytes(4))


def _answer(stream: int, block: bytes) -> bytes:
    start = block.index(PATH) + len(PATH)
    fate = block[start : start + 2]
    if fate == Fate.HANGING.encode():
        return b""
    if fate in ANSWERS:
        status, body = ANSWERS[fate]
        head = frame(HEADERS, END_HEADERS, stream, REFUSED + status)
        return head + frame(DATA, END_STREAM, stream, body)
    start = block.index(PUSH_ID) + len(PUSH_ID) + 1
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, ACCEPTED + block[start : start + 36])


class Provider:
    """All connections."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._clients: list[Client] = []
        self._arrivals: dict[str, int] = {}

    async def serve(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        """One connection, to its end."""
        client = Client(self._arrivals)
        self._clients.append(client)
        writing = trio.Lock()

        async def say(data: bytes, delay: float) -> None:
            await trio.sleep(delay)
            async with writing:
                await stream.send_all(data)

        hello = frame(SETTINGS, 0, 0, struct.pack(">HI", 3, STREAMS))
        hello += frame(WINDOW_UPDATE, 0, 0, WINDOW.to_bytes(4))
        try:
            async with trio.open_nursery() as nursery:
                await say(hello, 0)
                while data := await stream.receive_some(RECEIVE):
                    at_once, answers = client.take(bytes(data))
                    if not self._delay:
                        at_once, answers = at_once + answers, b""
                    if at_once:
                        await say(at_once, 0)
                    if answers:
                        nursery.start_soon(say, answers, self._delay)
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, ssl.SSLError):
            pass  # the daemon has ended

    async def report(self) -> None:
        """Answer each line, until there are no more; then end everything."""
        stdin = trio.lowlevel.FdStream(0)
        started, worked, before = time.monotonic(), time.process_time(), 0
        while await stdin.receive_some(64):
            now, work = time.monotonic(), time.process_time()
            received = sum(client.received for client in self._clients)
            busy = (work - worked) / (now - started)
            report = Report(received - before, busy, dict(self._arrivals))
            print(json.dumps(attrs.asdict(report)), flush=True)
            self._arrivals.clear()
            started, worked, before = now, work, received


async def run(key: str, chain: str, delay: float) -> None:
    """Say the port, and serve."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain, key)
    context.set_alpn_protocols(["h2"])
    listeners = await trio.open_ssl_over_tcp_listeners(0, context, host="127.0.0.1")
    provider = Provider(delay)
    print(listeners[0].transport_listener.socket.getsockname()[1], flush=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, provider.serve, listeners)
        await provider.report()
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(run, sys.argv[1], sys.argv[2], float(sys.argv[3]))
