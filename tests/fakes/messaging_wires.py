"""What carries messages between a test's client and the daemon: each transport on real sockets.

A `Wire` does by itself what a browser does: it answers Pings and polls again. Nothing on it has a
bound in time; who waits for something (`messaging_client`) has one.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Protocol, Self
from urllib.parse import urlencode
from uuid import uuid4

import attrs
import trio
from tests.fakes import client_frames
from tests.fakes.raw_http import UPGRADE, Answer, Head, RawConnection
from wsproto.frame_protocol import FrameProtocol, Opcode

ABNORMAL = (1006, "")
Closing = tuple[int, str]
"""Code and reason; `ABNORMAL` where the connection just ended."""


class RefusedError(Exception):
    """The daemon did not let the client in; `answer` is what it said."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status} {answer.body!r}")
        self.answer = answer


@attrs.frozen(kw_only=True)
class Way:
    """Where to, and as whom: the token goes into the query, or into a header with `in_header`."""

    address: str
    token: str = attrs.field(repr=False)
    correlator: str | None = None
    prefix: str = "/messaging"
    in_header: bool = False

    def target(self, path: str) -> str:
        """The URL of the service's `path`, with its query."""
        query = {} if self.in_header else {"access_token": self.token}
        if self.correlator is not None:
            query["correlator"] = self.correlator
        return f"{self.prefix}/{path}?{urlencode(query)}"

    @property
    def headers(self) -> Mapping[str, str]:
        """Those that every request has."""
        return {"Authorization": f"Bearer {self.token}"} if self.in_header else {}


class Wire(Protocol):
    """One connection of a client."""

    answers_pings: bool

    @property
    def is_receiving(self) -> bool:
        """The daemon has somewhere to send to."""

    async def run(self, received: Callable[[str], None]) -> Closing:
        """Hand over message by message until the connection is closed."""

    async def send(self, text: str) -> None:
        """Send one message."""

    async def leave(self) -> None:
        """Say good-bye, where the transport can."""

    async def cut(self) -> None:
        """Hang up without a word."""


class _Patient(RawConnection):
    """Waits for as long as it takes."""

    async def _receive(self) -> bytes:
        data = await self.stream.receive_some()
        if not data:
            raise ConnectionError("the server hung up")
        return bytes(data)

    async def some(self) -> bytes:
        """What is there already, else what comes next; b"" at the end."""
        return self._cut(len(self._buffer)) or bytes(await self.stream.receive_some())


@asynccontextmanager
async def _closed_on_failure(connection: RawConnection) -> AsyncIterator[None]:
    """Nobody else has the connection yet."""
    try:
        yield
    except BaseException:
        await trio.aclose_forcefully(connection.stream)
        raise


class SocketWire:
    """A WebSocket: raw, or with the frames of SockJS (`is_framed`)."""

    def __init__(self, connection: _Patient, *, is_framed: bool) -> None:
        self.answers_pings = True
        self._connection = connection
        self._is_framed = is_framed
        self.is_receiving = True
        self._sending = trio.Lock()
        self._frames = FrameProtocol(client=True, extensions=[])
        self._text = ""
        self._closing: Closing | None = None

    @classmethod
    async def open(cls, way: Way, *, is_framed: bool) -> Self:
        """The handshake. Raises RefusedError."""
        connection = await _Patient.open(way.address)
        path = f"000/{uuid4().hex}/websocket" if is_framed else "websocket"
        async with _closed_on_failure(connection):
            await connection.send("GET", way.target(path), {**UPGRADE, **way.headers})
            head = await connection.head()
            if head.status != 101:
                raise RefusedError(await _rest_of(connection, head))
        return cls(connection, is_framed=is_framed)

    async def run(self, received: Callable[[str], None]) -> Closing:
        """See `Wire`."""
        try:
            while self._closing is None and (data := await self._connection.some()):
                await self._take(data, received)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        await trio.aclose_forcefully(self._connection.stream)
        return self._closing or ABNORMAL

    async def send(self, text: str) -> None:
        """See `Wire`."""
        payload = json.dumps([text]) if self._is_framed else text
        await self.send_frame(client_frames.text(payload.encode()))

    async def send_frame(self, frame: bytes) -> None:
        """Send bytes as they are."""
        async with self._sending:
            await self._connection.stream.send_all(frame)

    async def leave(self) -> None:
        """See `Wire`."""
        await self.send_frame(client_frames.close(1000))

    async def cut(self) -> None:
        """See `Wire`."""
        await trio.aclose_forcefully(self._connection.stream)

    async def _take(self, data: bytes, received: Callable[[str], None]) -> None:
        self._frames.receive_bytes(data)
        for frame in self._frames.received_frames():
            if frame.opcode is Opcode.TEXT:
                self._text += str(frame.payload)
                if frame.message_finished:
                    text, self._text = self._text, ""
                    self._hand_over(text, received)
            elif frame.opcode is Opcode.PING and self.answers_pings:
                assert isinstance(frame.payload, bytes | bytearray)
                await self._answer(client_frames.pong(bytes(frame.payload)))
            elif frame.opcode is Opcode.CLOSE:
                assert isinstance(frame.payload, tuple)
                code, reason = frame.payload
                self._closing = (int(code), reason or "")
                await self._answer(client_frames.close(int(code)))

    async def _answer(self, frame: bytes) -> None:
        """A daemon that waits for it no longer may have said more before."""
        with suppress(trio.BrokenResourceError):
            await self.send_frame(frame)

    def _hand_over(self, text: str, received: Callable[[str], None]) -> None:
        """What closes a framed one says its Close frame, too."""
        if self._is_framed:
            _hand_over(text, received)
        else:
            received(text)


class XhrWire:
    """The two transports over XMLHttpRequest; every request has a connection of its own.

    A session that began anew is the end, as it is for clients in browsers: what was asked of the
    old one was lost with it.
    """

    def __init__(self, way: Way, *, is_streaming: bool) -> None:
        self.answers_pings = True
        self._way = way
        self._session = f"000/{uuid4().hex}"
        self._path = "xhr_streaming" if is_streaming else "xhr"
        self._is_cut = False
        self._has_begun = False
        self.is_receiving = False
        self._receiver: tuple[_Patient, Head] | None = None

    @classmethod
    async def open(cls, way: Way, *, is_streaming: bool) -> Self:
        """The first receiving request. Raises RefusedError."""
        wire = cls(way, is_streaming=is_streaming)
        wire._receiver = await wire._begin()
        return wire

    async def run(self, received: Callable[[str], None]) -> Closing:
        """See `Wire`."""
        try:
            while (closing := await self._read(received)) is None:
                self._receiver = await self._begin()
        except (OSError, RefusedError, trio.BrokenResourceError, trio.ClosedResourceError):
            return ABNORMAL
        return closing

    async def send(self, text: str) -> None:
        """See `Wire`; returns when the daemon has it."""
        target = self._way.target(f"{self._session}/xhr_send")
        connection = await _Patient.open(self._way.address)
        try:
            body = json.dumps([text]).encode()
            answer = await connection.request("POST", target, self._way.headers, body)
        finally:
            await trio.aclose_forcefully(connection.stream)
        if answer.status != 204:
            raise RefusedError(answer)

    async def leave(self) -> None:
        """As good as `cut`: there is no word for it."""
        await self.cut()

    async def cut(self) -> None:
        """See `Wire`."""
        self._is_cut = True
        if self._receiver is not None:
            await trio.aclose_forcefully(self._receiver[0].stream)

    async def _begin(self) -> tuple[_Patient, Head]:
        connection = await _Patient.open(self._way.address)
        target = self._way.target(f"{self._session}/{self._path}")
        async with _closed_on_failure(connection):
            head = await connection.begin("POST", target, self._way.headers)
            if head.status != 200:
                raise RefusedError(await _rest_of(connection, head))
        self.is_receiving = True
        return connection, head

    async def _read(self, received: Callable[[str], None]) -> Closing | None:
        """One response to its end; the closing that was in it, if any."""
        assert self._receiver is not None
        connection, head = self._receiver
        closing = None
        try:
            while data := await _piece(connection, head):
                self.is_receiving = self._path != "xhr"
                for frame in data.decode().splitlines():
                    if frame == "o" and self._has_begun:
                        return ABNORMAL
                    self._has_begun |= frame == "o"
                    closing = _hand_over(frame, received) or closing
                if head["content-length"] is not None:
                    break
        finally:
            self.is_receiving = False
            await trio.aclose_forcefully(connection.stream)
        return ABNORMAL if self._is_cut else closing


def _hand_over(frame: str, received: Callable[[str], None]) -> Closing | None:
    """The messages of a SockJS frame; how the connection ends if this says so."""
    if frame.startswith("a"):
        for text in json.loads(frame[1:]):
            received(text)
    if not frame.startswith("c"):
        return None
    code, reason = json.loads(frame[1:])
    return (code, reason)


async def _piece(connection: _Patient, head: Head) -> bytes:
    """The next chunk, or the body as a whole."""
    if (length := head["content-length"]) is not None:
        return await connection.exactly(int(length))
    return await connection.chunk()


async def _rest_of(connection: _Patient, head: Head) -> Answer:
    """The answer that begins with this head; the connection is closed."""
    length = head["content-length"]
    body = b"" if length is None else await connection.exactly(int(length))
    await trio.aclose_forcefully(connection.stream)
    return Answer(head.status, head.headers, body)
