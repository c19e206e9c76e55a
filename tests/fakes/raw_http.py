"""A client that shows an HTTP/1 connection as it is: heads, chunks and the end, one by one."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Self

import attrs
import trio
from tests.fakes import client_frames
from wsproto.frame_protocol import FrameProtocol, Opcode

BOUND = 30.0


@attrs.frozen
class Head:
    """A status line and headers; names in lower case, repeated ones joined."""

    status: int
    headers: Mapping[str, str]

    def __getitem__(self, name: str) -> str | None:
        return self.headers.get(name.lower())


@attrs.frozen
class Answer(Head):
    """A head and the whole body."""

    body: bytes = b""


class RawConnection:
    """One connection; everything it waits for must come within `BOUND` seconds."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._buffer = b""

    @classmethod
    async def open(cls, address: str) -> Self:
        """Connect to `host:port`."""
        host, _, port = address.rpartition(":")
        return cls(await trio.open_tcp_stream(host, int(port)))

    async def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        http: str = "1.1",
    ) -> None:
        """Send a request."""
        fields = {"Host": "localhost", **(headers or {})}
        if body is not None or method == "POST":
            fields["Content-Length"] = str(len(body or b""))
        lines = [f"{method} {target} HTTP/{http}", *(f"{k}: {v}" for k, v in fields.items())]
        await self.stream.send_all("\r\n".join([*lines, "", ""]).encode() + (body or b""))

    async def head(self) -> Head:
        """The head of the next answer."""
        raw = await self.until(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").split("\r\n")[:-2]
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            known = headers.get(name.lower())
            headers[name.lower()] = value.strip() if known is None else f"{known}, {value.strip()}"
        return Head(int(first.split(" ")[1]), headers)

    async def begin(self, method: str, target: str, *args: object, **more: object) -> Head:
        """Send a request and read the head of its answer."""
        await self.send(method, target, *args, **more)  # type: ignore[arg-type]
        return await self.head()

    async def request(self, method: str, target: str, *args: object, **more: object) -> Answer:
        """Send a request and read its whole answer."""
        await self.send(method, target, *args, **more)  # type: ignore[arg-type]
        return await self.answer(has_body=method != "HEAD")

    async def answer(self, *, has_body: bool = True) -> Answer:
        """The next answer."""
        head = await self.head()
        body = b""
        if has_body and head["transfer-encoding"] == "chunked":
            while data := await self.chunk():
                body += data
        elif has_body and head["content-length"] is not None:
            body = await self.exactly(int(head["content-length"]))
        elif has_body and head.status not in {204, 304}:
            body = await self.rest()
        return Answer(head.status, head.headers, body)

    async def chunk(self) -> bytes:
        """The next chunk; b"" for the last one."""
        size = int(await self.until(b"\r\n"), 16)
        return (await self.exactly(size + 2))[:-2]

    async def until(self, mark: bytes) -> bytes:
        """Everything up to and with a mark."""
        while mark not in self._buffer:
            self._buffer += await self._receive()
        end = self._buffer.index(mark) + len(mark)
        return self._cut(end)

    async def exactly(self, size: int) -> bytes:
        """So many bytes."""
        while len(self._buffer) < size:
            self._buffer += await self._receive()
        return self._cut(size)

    async def rest(self) -> bytes:
        """Everything until the server ends the connection."""
        with trio.fail_after(BOUND):
            while data := await self.stream.receive_some():
                self._buffer += data
        return self._cut(len(self._buffer))

    async def aclose(self) -> None:
        """Hang up."""
        await self.stream.aclose()

    def _cut(self, size: int) -> bytes:
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    async def _receive(self) -> bytes:
        with trio.fail_after(BOUND):
            data = await self.stream.receive_some()
        if not data:
            raise ConnectionError(f"the server hung up, after {self._buffer[-200:]!r}")
        return bytes(data)


UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw==",
}


class RawWebSocket:
    """A WebSocket frame by frame; it answers nothing by itself."""

    def __init__(self, connection: RawConnection) -> None:
        self._connection = connection
        self._frames = FrameProtocol(client=True, extensions=[])
        self._waiting: list[tuple[str, object]] = []
        self._text = ""

    @classmethod
    async def open(cls, address: str, target: str, *, behind: bytes = b"") -> Self:
        """The handshake, which must succeed; `behind` is sent in one piece with it."""
        connection = await RawConnection.open(address)
        lines = [f"GET {target} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in UPGRADE.items()]
        await connection.stream.send_all("\r\n".join([*lines, "", ""]).encode() + behind)
        head = await connection.head()
        assert head.status == 101, head
        return cls(connection)

    async def frame(self) -> tuple[str, object]:
        """The next frame: ("text", str), ("ping", bytes), ("close", (code, reason)), or
        ("end", None) when the server has hung up."""
        while not self._waiting:
            with trio.fail_after(BOUND):
                data = self._connection._cut(len(self._connection._buffer))
                data = data or bytes(await self._connection.stream.receive_some())
            if not data:
                return ("end", None)
            self._frames.receive_bytes(data)
            for frame in self._frames.received_frames():
                self._note(frame.opcode, frame.payload, is_last=frame.message_finished)
        return self._waiting.pop(0)

    async def text(self) -> str:
        """The next frame, which must be a text."""
        kind, payload = await self.frame()
        assert kind == "text", (kind, payload)
        return str(payload)

    async def send(self, text: str) -> None:
        """Send a text message."""
        await self.send_frame(client_frames.text(text.encode()))

    async def send_frame(self, frame: bytes) -> None:
        """Send bytes."""
        await self._connection.stream.send_all(frame)

    async def aclose(self) -> None:
        """Hang up without a word."""
        await self._connection.aclose()

    def _note(self, opcode: Opcode, payload: object, *, is_last: bool) -> None:
        if opcode is Opcode.TEXT:
            self._text += str(payload)
            if is_last:
                self._waiting.append(("text", self._text))
                self._text = ""
        elif opcode is Opcode.CLOSE:
            assert isinstance(payload, tuple)
            self._waiting.append(("close", (int(payload[0]), payload[1] or "")))
        else:
            assert isinstance(payload, bytes | bytearray)
            self._waiting.append((opcode.name.lower(), bytes(payload)))


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[RawConnection]:
    """A connection that is closed at the end."""
    connection = await RawConnection.open(address)
    try:
        yield connection
    finally:
        await trio.aclose_forcefully(connection.stream)


async def fetch(address: str, method: str, target: str, *args: object, **more: object) -> Answer:
    """One request over a connection of its own."""
    async with connected(address) as connection:
        return await connection.request(method, target, *args, **more)
