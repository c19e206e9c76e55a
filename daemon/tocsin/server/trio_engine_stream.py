"""The stream trio-websocket is given: it shares socket and outbox with the link.

To the library this is a server's connection from its first byte. To the peer it is one that has
been upgraded: the request the library reads is made up here, since the real one has been
answered by our HTTP server, and its own 101 goes nowhere. What else the library wants to send,
Pongs and the answer to a Close, leaves through the link like every other frame, so frames never
interleave; and once the link has begun to close, nothing of it leaves at all. The library is
never told that we close: it would refuse to read the receipts that are still on their way, and
end in an error over a Ping that crosses our Close.

Reading goes in step with the session: the library gets the next frame when the session has had
the message the last one completed, so Pongs, which do not go through the library, keep their
place in the order.
"""

from collections.abc import Callable, Iterator
from typing import Final

import trio
import trio.abc
from trio_websocket import WebSocketConnection

from tocsin.server.trio_engine_frames import FrameCutter, RawFrame
from tocsin.server.trio_engine_link import TrioLink
from tocsin.wire.websocket import CLOSE, FINAL, PONG, CloseCode
from tocsin.wire.websocket_decoder import Decoder, ProtocolViolation

REQUEST: Final = (
    b"GET / HTTP/1.1\r\nHost: tocsin\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)

Deliver = Callable[[int, bytes], None]


class LibraryStream(trio.abc.Stream):
    """One connection's. `deliver(opcode, payload)` calls the session and does not raise."""

    def __init__(self, link: TrioLink, deliver: Deliver, received: bytes) -> None:
        """`received` is what the client sent right behind its handshake."""
        self._link = link
        self._deliver = deliver
        self._cutter = FrameCutter(max_message=link.limits.max_message)
        self._frames: Iterator[RawFrame] = self._cutter.feed(received)
        self._library: WebSocketConnection | None = None
        self._replayed = False

    def begin(self, library: WebSocketConnection) -> None:
        """The library has accepted the request: let it read the client's frames."""
        self._library = library
        self._link.turn.set()

    def message(self, opcode: int, payload: bytes) -> None:
        """The library has a whole message: it goes to the session, and reading goes on."""
        self._deliver(opcode, payload)
        self._link.turn.set()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The request, then the client's frames one by one.

        ClosedResourceError as soon as the link has heard enough.
        """
        if not self._replayed:
            self._replayed = True
            return await self._request()
        await self._link.turn.wait()
        frame = self._next_frame()
        while frame is None and self._link.is_listening:
            self._frames = self._cutter.feed(await self._link.receive(max_bytes))
            frame = self._next_frame()
        if frame is None:
            raise trio.ClosedResourceError
        return frame

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Frames of the library's own making; the 101 it begins with is dropped."""
        await trio.lowlevel.checkpoint()
        frame = bytes(data)
        if frame[0] == FINAL | CLOSE:
            self._link.deliver(CLOSE, frame[2:])
        elif frame[0] == FINAL | PONG:
            self._link.offer(frame)

    async def wait_send_all_might_not_block(self) -> None:
        """It never does: the outbox is bounded by what it refuses."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """The library has ended: after a Close of the peer, or because of a violation.

        For a violation it does not say so to the peer; that is made up for here.
        """
        verdict = self._library.closed if self._library is not None else None
        if verdict is None:
            self._link.fail(CloseCode.INTERNAL_ERROR)
        else:
            self._link.fail(int(verdict.code), verdict.reason or "")
        self._link.turn.set()
        await trio.lowlevel.checkpoint()

    async def _request(self) -> bytes:
        await trio.lowlevel.checkpoint()
        return REQUEST

    def _next_frame(self) -> bytes | None:
        """The next frame that is for the library, if there is one at hand."""
        try:
            while self._link.is_listening:
                frame = next(self._frames, None)
                if frame is None:
                    return None
                if self._link.admit(frame.opcode) and self._is_for_library(frame):
                    return frame.data
        except ProtocolViolation as violation:
            self._link.fail(violation.code, violation.reason)
        return None

    def _is_for_library(self, frame: RawFrame) -> bool:
        if frame.opcode == PONG:
            for opcode, payload in Decoder(max_message=0).feed(frame.data):
                self._deliver(opcode, payload)
            return False
        if frame.ends_message:
            self._link.turn = trio.Event()
        return True
