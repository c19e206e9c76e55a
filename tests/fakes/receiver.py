"""A webhook receiver that does as it is told.

In a test: `receiver = await start(nursery, answers=[...])`; each request takes the next answer
of the list and, when it is used up, `ok`. By hand: `python -m tests.fakes.receiver PORT` prints
what comes and answers 200.
"""

import socket
import ssl
import struct
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import cast

import attrs
import trio


@attrs.frozen
class Received:
    """One request; header names in lower case. `connection` counts from 1."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


# Answers one request; False ends the connection.
Answer = Callable[[trio.abc.Stream, Received], Awaitable[bool]]


def raw(*pieces: bytes, keep: bool = True) -> Answer:
    """Exactly these bytes, one write each."""

    async def answer(stream: trio.abc.Stream, _request: Received) -> bool:
        for piece in pieces:
            await stream.send_all(piece)
        await trio.lowlevel.checkpoint()
        return keep

    return answer


def reply(status: int = 200, *headers: str, body: bytes = b"") -> Answer:
    """A well-formed answer; `headers` are whole lines."""
    lines = [f"HTTP/1.1 {status} Whatever", *headers, f"Content-Length: {len(body)}", "", ""]
    return raw("\r\n".join(lines).encode() + body)


ok = reply()


async def silence(stream: trio.abc.Stream, _request: Received) -> bool:
    """Read the request, never answer, wait for the other side to give up."""
    await stream.receive_some()
    return False


async def hang_up(_stream: trio.abc.Stream, _request: Received) -> bool:
    """Close instead of answering."""
    await trio.lowlevel.checkpoint()
    return False


def reset_after(piece: bytes) -> Answer:
    """Send this much and then cut the connection with a TCP reset."""

    async def answer(stream: trio.abc.Stream, _request: Received) -> bool:
        await stream.send_all(piece)
        linger = struct.pack("ii", 1, 0)
        cast("trio.SocketStream", stream).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        return False

    return answer


def drip(piece: bytes, every: float) -> Answer:
    """Send this again and again, for ever."""

    async def answer(stream: trio.abc.Stream, _request: Received) -> bool:
        while True:
            await stream.send_all(piece)
            await trio.sleep(every)

    return answer


@attrs.define(eq=False)
class Receiver:
    """What came, how often a connection was made, and what will be answered."""

    answers: deque[Answer] = attrs.field(factory=deque)
    requests: list[Received] = attrs.field(factory=list)
    connections: int = 0
    port: int = 0
    on_request: Callable[[Received], None] = lambda _request: None

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Serve one connection until either side has enough of it."""
        self.connections += 1
        connection = self.connections
        try:
            async with stream:
                pending = b""
                while True:
                    request, pending = await _read(stream, pending, connection)
                    self.requests.append(request)
                    self.on_request(request)
                    answer = self.answers.popleft() if self.answers else ok
                    if not await answer(stream, request):
                        return
        except (trio.BrokenResourceError, EOFError):
            await trio.lowlevel.checkpoint()


async def _read(stream: trio.abc.Stream, pending: bytes, connection: int) -> tuple[Received, bytes]:
    """The next request and what came after it; EOFError at the end."""
    await trio.lowlevel.checkpoint()
    while b"\r\n\r\n" not in pending:
        pending += await _more(stream)
    head, _, rest = pending.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.split(": ", 1) for line in lines)
    headers = {name.lower(): value for name, value in pairs}
    length = int(headers.get("content-length", "0"))
    while len(rest) < length:
        rest += await _more(stream)
    method, target, _version = first.split(" ")
    return Received(method, target, headers, rest[:length], connection), rest[length:]


async def _more(stream: trio.abc.Stream) -> bytes:
    data = await stream.receive_some()
    if not data:
        raise EOFError
    return bytes(data)


async def start(
    nursery: trio.Nursery,
    *,
    answers: Iterable[Answer] = (),
    ssl_context: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> Receiver:
    """A receiver that runs in the nursery; `port` says where."""
    receiver = Receiver(deque(answers))

    async def serve(stream: trio.SocketStream) -> None:
        if ssl_context is None:
            await receiver.serve(stream)
        else:
            await receiver.serve(
                trio.SSLStream(stream, ssl_context, server_side=True, https_compatible=True)
            )

    listeners = await trio.open_tcp_listeners(port, host=host)
    receiver.port = listeners[0].socket.getsockname()[1]
    nursery.start_soon(trio.serve_listeners, serve, listeners)
    return receiver


def show(request: Received) -> None:
    """Print a request as it came."""
    print(f"{request.method} {request.target}")
    for name, value in request.headers.items():
        print(f"{name}: {value}")
    print(f"\n{request.body.decode(errors='replace')}\n", flush=True)


async def main(port: int) -> None:
    """Answer 200 to everything on this port and print it, until interrupted."""
    async with trio.open_nursery() as nursery:
        receiver = await start(nursery, port=port)
        receiver.on_request = show
        print(f"listening on 127.0.0.1:{receiver.port}", flush=True)


if __name__ == "__main__":
    try:
        trio.run(main, int(sys.argv[1]))
    except KeyboardInterrupt:
        print("done")
