"""What one frame to each of many sockets costs: bare, and through reactor and connection.

A process of its own. Both ways write to the same TCP sockets in turn, in the same thread, and
only that thread's processor time while writing counts. The bare `send` is the floor of the run.
"""

import json
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

import attrs
import trio

from tocsin.server.handler import ConnectionLimits
from tocsin.server.reactor import Connection, Reactor
from tocsin.wire.websocket import encode_text

PAYLOAD = b'{"chatMessageNotification":{"text":"%s"}}' % (b"x" * 157)
SLICE = 300
RECEIVE = 1 << 18
LIMITS = ConnectionLimits(max_message=4096, frames_per_second=50, outbox_bytes=1 << 20)


@attrs.frozen
class Costs:
    """Microseconds of processor time for one frame to one socket."""

    bare: float
    offered: float


class Listener:
    """The session of a socket nobody talks to."""

    def opened(self, connection: Connection) -> None: ...
    def text(self, payload: bytes) -> None: ...
    def binary(self, payload: bytes) -> None: ...
    def pong(self, payload: bytes) -> None: ...
    def drained(self) -> None: ...
    def closed(self, code: int) -> None: ...


def measure(sockets: int, frames: int) -> Costs:
    """Write about so many frames each way, and wait for the result."""
    command = [sys.executable, "-m", "tests.bench.sends", str(sockets), str(frames)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return Costs(**json.loads(done.stdout))


def _bare(sockets: Sequence[socket.socket], frame: bytes) -> float:
    started = time.thread_time()
    for sock in sockets:
        sock.send(frame)
    return time.thread_time() - started


async def _offered(connections: Sequence[Connection]) -> float:
    """As a fan-out does it: encoded once, in slices with a checkpoint between."""
    started = time.thread_time()
    frame = encode_text(PAYLOAD)
    for start in range(0, len(connections), SLICE):
        for connection in connections[start : start + SLICE]:
            connection.offer(frame)
        await trio.lowlevel.checkpoint()
    return time.thread_time() - started


def _pairs(count: int) -> list[tuple[socket.socket, socket.socket]]:
    pairs = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        for _ in range(count):
            far = socket.create_connection(server.getsockname())
            near, _ = server.accept()
            near.setblocking(False)
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pairs.append((near, far))
    return pairs


async def _run(sockets: int, rounds: int) -> Costs:
    pairs = _pairs(sockets)
    near = [one for one, _ in pairs]
    reactor = Reactor()
    bare = offered = 0.0
    async with trio.open_nursery() as nursery:
        await nursery.start(reactor.run)
        connections = [reactor.adopt(sock, Listener(), LIMITS) for sock in near]
        frame = encode_text(PAYLOAD)
        for number in range(-1, rounds):
            costs = _bare(near, frame), await _offered(connections)
            for _, far in pairs:
                far.recv(RECEIVE)
            if number >= 0:  # the first is for warming up
                bare += costs[0]
                offered += costs[1]
        nursery.cancel_scope.cancel()
    sent = sockets * rounds / 1e6
    return Costs(bare / sent, offered / sent)


def main() -> None:
    """Measure and print."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sockets, frames = int(sys.argv[1]), int(sys.argv[2])
    sockets = min(sockets, (most - 100) // 2)
    costs = trio.run(_run, sockets, max(1, frames // sockets))
    print(json.dumps(attrs.asdict(costs)))


if __name__ == "__main__":
    main()
