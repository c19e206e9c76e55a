"""One connection of HTTP/2 over a Trio stream: who waits for which stream (push.md, D.1).

One task reads, one writes. The writer hands over all there is at each wake-up, so the requests
made within one turn of the event loop share one send. Nothing that counts streams awaits between
two steps: a call is on the books here, or on those of the pool, or it has its result.

    connecting --SETTINGS--> serving --GOAWAY, silence, `leave`--> leaving --> gone
         |                      |                                    ^
         +------- cut ----------+------------------------------------+

A connection that leaves takes no new calls, and ends when those it has are answered, after 10 s
at the latest.
"""

from collections.abc import Iterable
from typing import Protocol, assert_never

import trio

from tocsin.model.notification import Priority
from tocsin.transports.push.call import Call, Reply, Unknown
from tocsin.wire.http2.connection import Http2Connection
from tocsin.wire.http2.events import (
    Answer,
    Broken,
    Event,
    Leaving,
    LimitsChanged,
    PingAnswered,
    Ready,
    Reset,
)

RECEIVE_SIZE = 65_536
PING = b"tocsin.h"
PING_SECONDS = 60.0
IDLE_ROUNDS = 5
PING_ANSWER_SECONDS = 10.0
TIMEOUTS = 3
DRAIN_SECONDS = 10.0
FAREWELL_SECONDS = 1.0
REFUSED_STREAM = 0x7
ENHANCE_YOUR_CALM = 0xB


class Owner(Protocol):
    """What a connection tells its pool; none of it may block."""

    @property
    def limit(self) -> int:
        """Streams that the pool itself allows on each connection."""

    def on_ready(self, link: "Http2Link") -> None:
        """It takes calls from now on."""

    def on_retired(self, link: "Http2Link") -> None:
        """It takes no new calls any more; said once."""

    def on_idle(self, link: "Http2Link") -> None:
        """Another minute has passed without a call."""

    def on_goaway(self, leaving: Leaving) -> None:
        """The server sends its clients away."""

    def on_calm(self, link: "Http2Link") -> None:
        """The server finds that too much is asked of it."""

    def take_back(self, calls: list[Call]) -> None:
        """These were not sent; they come in the order in which they came here."""

    def on_room(self) -> None:
        """There may be room for a call that waits."""


class Http2Link:
    """One connection; owns its stream from `run` on."""

    def __init__(self, stream: trio.abc.Stream, owner: Owner) -> None:
        self._stream = stream
        self._owner = owner
        self._http = Http2Connection()
        self._calls: dict[int, Call] = {}
        self._pen = trio.lowlevel.ParkingLot()
        self._decided = trio.Event()
        self._leaving = trio.Event()
        self._emptied = trio.Event()
        self._flushed = trio.Event()
        self._pong = trio.Event()
        self._timeouts = 0
        self._was_used = False
        self.has_served = False
        self.idle_minutes = 0

    async def run(self) -> None:
        """Carry calls until it is over; always closes the stream.

        Cancelled, it ends as if the connection had been cut.
        """
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read)
                nursery.start_soon(self._write)
                nursery.start_soon(self._keep_alive)
                await self._leave_in_order()
                nursery.cancel_scope.cancel()
        finally:
            self._cut("cut")
            await trio.aclose_forcefully(self._stream)

    async def wait_ready(self) -> bool:
        """Wait for the server's SETTINGS; False if it ended before."""
        await self._decided.wait()
        return self._http.is_ready

    def leave(self) -> None:
        """No new calls; the connection ends when those it has are answered."""
        if self._leaving.is_set():
            return
        self._decided.set()
        self._leaving.set()
        self._owner.on_retired(self)
        self._end_if_empty()

    @property
    def limit(self) -> int:
        """Streams it may have at once: as the server and the pool say."""
        return min(self._http.limit, self._owner.limit)

    @property
    def open_streams(self) -> int:
        """Streams it has."""
        return self._http.open_streams

    @property
    def has_calls(self) -> bool:
        """Some may still be answered."""
        return bool(self._calls)

    @property
    def load(self) -> float:
        """Open streams by limit."""
        return self._http.open_streams / (self.limit or 1)

    def has_room(self, call: Call) -> bool:
        """Whether this call may start now; a tenth of the streams is for urgent ones (PU-63)."""
        limit = self.limit
        if call.priority is not Priority.URGENT and limit >= 4:
            limit -= limit // 10 or 1
        return self._http.open_streams < limit and self._http.admits(len(call.body))

    def start(self, call: Call) -> None:
        """Begin a call there is room for."""
        call.link = self
        call.stream_id = self._http.request(call.block, call.body)
        self._calls[call.stream_id] = call
        self._was_used = True
        self._pen.unpark()
        if self._http.is_leaving:
            # No more stream ids: it has done what it could.
            self.has_served = True
            self.leave()

    def cancel(self, call: Call) -> bool:
        """Give up a call's stream; whether its request was sent."""
        was_sent = self._http.was_sent(call.stream_id)
        self._http.cancel(call.stream_id)
        self._take(call.stream_id)
        self._pen.unpark()
        return was_sent

    def expire(self, call: Call) -> bool:
        """The same for a call whose time is over; the third in a row shows a dead connection."""
        self._timeouts += 1
        if self._timeouts >= TIMEOUTS:
            self.leave()
        return self.cancel(call)

    async def _read(self) -> None:
        try:
            while data := await self._stream.receive_some(RECEIVE_SIZE):
                self._handle(self._http.receive(bytes(data), trio.current_time()))
        except trio.BrokenResourceError:
            pass  # as good as an end
        self._cut("cut")

    async def _write(self) -> None:
        try:
            while True:
                data = self._http.outgoing()
                if data:
                    await self._stream.send_all(data)
                    self._owner.on_room()
                elif self._emptied.is_set():
                    break
                else:
                    await self._pen.park()
        except trio.BrokenResourceError:
            self._cut("cut")
        self._flushed.set()

    async def _keep_alive(self) -> None:
        """PING every minute in use, every fifth when idle (PU-65)."""
        while not self._leaving.is_set():
            self._was_used = bool(self._calls)
            await trio.sleep(PING_SECONDS)
            if self._was_used:
                self.idle_minutes = 0
            else:
                self.idle_minutes += 1
                self._owner.on_idle(self)
            if self.idle_minutes % IDLE_ROUNDS == 0 and not self._leaving.is_set():
                await self._ping()

    async def _ping(self) -> None:
        self._pong = trio.Event()
        self._http.ping(PING)
        self._pen.unpark()
        with trio.move_on_after(PING_ANSWER_SECONDS):
            await self._pong.wait()
            return
        self.leave()

    async def _leave_in_order(self) -> None:
        """Wait until it is to leave, then for what is open, then for the GOAWAY to go out."""
        await self._leaving.wait()
        with trio.move_on_after(DRAIN_SECONDS):
            await self._emptied.wait()
        self._cut("timeout")
        with trio.move_on_after(FAREWELL_SECONDS):
            await self._flushed.wait()

    def _handle(self, events: Iterable[Event]) -> None:
        for event in events:
            match event:
                case Answer():
                    self._answered(event)
                case Reset():
                    self._reset(event)
                case LimitsChanged():
                    pass
                case Ready():
                    self._decided.set()
                    # It may have been given up a moment before.
                    if not self._leaving.is_set():
                        self._owner.on_ready(self)
                case Leaving():
                    self._sent_away(event)
                case PingAnswered():
                    self._pong.set()
                case Broken():
                    self._cut("cut")
                case _:
                    assert_never(event)
        self._pen.unpark()
        self._owner.on_room()

    def _answered(self, answer: Answer) -> None:
        self._timeouts = 0
        self.has_served = True
        call = self._take(answer.stream_id)
        if call is not None:
            call.settle(Reply(answer.stream_id, answer.status, answer.headers, answer.body, self))

    def _reset(self, reset: Reset) -> None:
        if reset.code == ENHANCE_YOUR_CALM:
            self._owner.on_calm(self)
        call = self._take(reset.stream_id)
        if call is None:
            return
        if reset.was_sent and reset.code != REFUSED_STREAM:
            call.settle(Unknown("reset"))
        else:
            self._owner.take_back([call])

    def _sent_away(self, leaving: Leaving) -> None:
        if leaving.code == ENHANCE_YOUR_CALM:
            self._owner.on_calm(self)
        self._owner.on_goaway(leaving)
        refused = [self._take(stream_id) for stream_id in leaving.refused]
        self.leave()
        self._owner.take_back([call for call in refused if call is not None])

    def _cut(self, reason: str) -> None:
        """Nothing more will come for the calls that are open."""
        sent: list[Call] = []
        unsent: list[Call] = []
        for call in self._calls.values():
            (sent if self._http.was_sent(call.stream_id) else unsent).append(call)
        self._calls = {}
        self.leave()
        for call in sent:
            call.settle(Unknown(reason))
        if unsent:
            self._http.drop()
        self._owner.take_back(unsent)
        self._owner.on_room()
        self._end_if_empty()

    def _take(self, stream_id: int) -> Call | None:
        """Strike a call from the books."""
        call = self._calls.pop(stream_id, None)
        if self._leaving.is_set():
            self._end_if_empty()
        return call

    def _end_if_empty(self) -> None:
        if not self._calls and not self._emptied.is_set():
            self._emptied.set()
            self._http.close()
            self._pen.unpark()
