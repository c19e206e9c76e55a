"""The connections to one provider, and which request goes over which (push.md, D.1).

`post` decides at once: a request goes to the least-loaded connection with room for it, or waits
in line. Whatever makes room serves the line: an answer, a raised limit, a wider window, a new
connection. One task opens connections, one at a time, whenever another is wanted; each runs in the
nursery of `run` until it is over.
"""

import random
import ssl
from collections.abc import Awaitable, Callable, Sequence

import attrs
import structlog
import trio

from tocsin.model.notification import Priority
from tocsin.transports.push.backoff import Backoff
from tocsin.transports.push.call import Call, NotSent, Reply, Result, Unknown
from tocsin.transports.push.deadlines import Deadlines
from tocsin.transports.push.http2 import DRAIN_SECONDS, FAREWELL_SECONDS, Http2Link
from tocsin.transports.push.tls import ConnectError, Origin, dial
from tocsin.transports.push.waiting import Waiting
from tocsin.wire.http2.events import Leaving
from tocsin.wire.http2.headers import encode

CONNECT_SECONDS = 10.0
MOVES = 3
BUSY = 0.8
IDLE_MINUTES = 10
PROVEN_SECONDS = 30.0
# Of a server that allows more, no more is used: it bounds what is open at once.
MOST_STREAMS = 1_000
CALM_SECONDS = 60.0
# Complaints closer than this are about the same crowd of requests.
COMPLAINT_SECONDS = 1.0

Dial = Callable[[Origin, ssl.SSLContext], Awaitable[trio.abc.Stream]]
OnGoaway = Callable[[bytes, int], None]

log = structlog.get_logger()


@attrs.frozen
class PoolStatistics:
    """Connections that stand, streams open on them, posts that wait for one; GOAWAYs ever seen."""

    connections: int
    streams: int
    waiting: int
    goaways: int


class Http2Pool:
    """1 to `connections` connections to one origin; `run` and `aclose` belong to the owner.

    The first one is opened for the first post and replaced whenever it ends. Posts made before
    `run` wait for it. `on_goaway` is told the debug data and the code of every GOAWAY. `dial`
    replaces the whole way to a stream.
    """

    def __init__(
        self,
        origin: Origin,
        *,
        ssl_context: ssl.SSLContext,
        connections: int = 1,
        on_goaway: OnGoaway | None = None,
        dial: Dial = dial,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._origin = origin
        self._ssl_context = ssl_context
        self._most = connections
        self._tell_goaway = on_goaway
        self._dial = dial
        self._links: dict[Http2Link, float] = {}
        self._serving: list[Http2Link] = []
        # They drain, and may still show what they were worth.
        self._unjudged: set[Http2Link] = set()
        self._waiting = Waiting()
        self._deadlines = Deadlines()
        self._backoff = Backoff(jitter)
        self._demand = trio.lowlevel.ParkingLot()
        self._gone = trio.lowlevel.ParkingLot()
        self._ended: trio.Event | None = None
        self._closing = trio.Event()
        self._was_used = False
        self._goaways = 0
        self._limit = MOST_STREAMS
        self._calmed_at = -CALM_SECONDS

    async def post(
        self,
        fixed: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
        *,
        deadline: float,
        priority: Priority,
    ) -> Result:
        """POST once and say what came of it; never raises for trouble with the network.

        `headers` begins with `:path` and adds to `fixed`, a block made by `headers.encode` that
        has the other pseudo-headers first. `deadline` is Trio's time; it is kept to 50 ms.
        Cancelled, it gives its stream or its place in the line free at once.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._closing.is_set() or deadline <= trio.current_time():
            await trio.lowlevel.cancel_shielded_checkpoint()
            return NotSent("not_sent")
        block = b"".join((encode(headers[:1]), fixed, encode(headers[1:])))
        call = Call(block, body, priority, deadline, trio.lowlevel.current_task())
        self._deadlines.add(call)
        self._submit(call)

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            self._withdraw(call)
            return trio.lowlevel.Abort.SUCCEEDED

        try:
            result: Result = await trio.lowlevel.wait_task_rescheduled(abort)
        finally:
            self._deadlines.discard(call)
        return result

    async def run(self) -> None:
        """Open, use and replace connections, until `aclose`. Cancelled, it cuts them."""
        self._ended = trio.Event()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._deadlines.run, self._expire)
                nursery.start_soon(self._open_connections, nursery)
                await self._closing.wait()
                await self._drain()
                nursery.cancel_scope.cancel()
        finally:
            self._drop_waiting()
            self._ended.set()

    def statistics(self) -> PoolStatistics:
        """What it holds now."""
        return PoolStatistics(
            connections=len(self._links),
            streams=sum(link.open_streams for link in self._links),
            waiting=len(self._waiting),
            goaways=self._goaways,
        )

    def replace(self, reply: Reply) -> None:
        """Drain the connection a reply came over, which says that it is of no more use.

        No call begins there from now on; the others stay. A connection that drains already goes
        on doing so. One that said it soon after it was opened was not worth having: the backoff
        decides when the next one opens.
        """
        reply.link.leave()
        if reply.link in self._unjudged:
            self._unjudged.remove(reply.link)
            self._backoff.failed()

    async def aclose(self) -> None:
        """Post no more, wait 10 s at most for what is open, and end `run`."""
        self._closing.set()
        self._drop_waiting()
        if self._ended is not None:
            await self._ended.wait()
        await trio.lowlevel.checkpoint()

    # What connections tell; see http2.Owner.

    @property
    def limit(self) -> int:
        """Streams allowed on each connection, halved for a minute by a complaint (PU-61)."""
        if self._limit < MOST_STREAMS and trio.current_time() - self._calmed_at >= CALM_SECONDS:
            self._limit = MOST_STREAMS
        return self._limit

    def on_ready(self, link: Http2Link) -> None:
        """See Owner."""
        self._serving.append(link)
        if self._closing.is_set():
            link.leave()

    def on_retired(self, link: Http2Link) -> None:
        """See Owner."""
        if link not in self._serving:
            return
        self._serving.remove(link)
        self._unjudged.add(link)
        if self._is_old(link) or not (link.has_served or link.has_calls):
            self._judge(link)
        self._open_if_wanted()

    def on_idle(self, link: Http2Link) -> None:
        """See Owner."""
        if link.idle_minutes >= IDLE_MINUTES and len(self._serving) > 1:
            link.leave()

    def on_goaway(self, leaving: Leaving) -> None:
        """See Owner."""
        self._goaways += 1
        log.info("push.connection_sent_away", host=self._origin.host, code=leaving.code)
        if self._tell_goaway is not None:
            self._tell_goaway(leaving.debug, leaving.code)

    def on_calm(self, link: Http2Link) -> None:
        """See Owner."""
        now = trio.current_time()
        if now - self._calmed_at >= COMPLAINT_SECONDS:
            self._limit = max(1, link.limit // 2)
            self._calmed_at = now

    def take_back(self, calls: list[Call]) -> None:
        """See Owner."""
        for call in reversed(calls):
            call.link, call.left = None, call.link
            call.moves += 1
            if call.moves > MOVES or self._closing.is_set():
                call.settle(NotSent("not_sent"))
            else:
                self._waiting.put_back(call)

    def on_room(self) -> None:
        """Serve the line, as far as there is room."""
        while (call := self._waiting.first()) is not None:
            link = self._link_for(call)
            if link is None:
                break
            self._waiting.discard(call)
            link.start(call)

    # Calls.

    def _submit(self, call: Call) -> None:
        self._was_used = True
        link = None if self._waiting else self._link_for(call)
        if link is not None:
            link.start(call)
        else:
            self._waiting.append(call)
            self.on_room()
        if len(self._serving) < self._most:
            self._open_if_wanted()

    def _link_for(self, call: Call) -> Http2Link | None:
        """The least-loaded one with room; the one that sent the call back only if it must be."""
        able = [link for link in self._serving if link.has_room(call)]
        if len(able) <= 1:
            return able[0] if able else None
        return min(able, key=lambda link: (link is call.left, link.load))

    def _withdraw(self, call: Call) -> None:
        """Its task has been cancelled.

        Its slot goes to the next in line when the RST_STREAM is written, a turn later: that one
        may be about to be cancelled, too.
        """
        call.forget()
        if call.link is None:
            self._waiting.discard(call)
        else:
            call.link.cancel(call)

    def _expire(self, calls: list[Call]) -> None:
        in_line = NotSent("not_sent" if self._serving else "connect")
        for call in calls:
            if call.is_settled:
                continue
            if call.link is None:
                self._waiting.discard(call)
                call.settle(in_line)
            elif call.link.expire(call):
                call.settle(Unknown("timeout"))
            else:
                call.settle(NotSent("not_sent"))
        self.on_room()

    def _drop_waiting(self) -> None:
        for call in list(self._waiting):
            self._waiting.discard(call)
            call.settle(NotSent("not_sent"))

    # Connections.

    def _wants_more(self) -> bool:
        if not self._serving:
            return self._was_used and not self._closing.is_set()
        if len(self._serving) >= self._most:
            return False
        return bool(self._waiting) or all(link.load > BUSY for link in self._serving)

    def _open_if_wanted(self) -> None:
        if self._wants_more():
            self._demand.unpark()

    async def _open_connections(self, nursery: trio.Nursery) -> None:
        while True:
            while not self._wants_more():
                await self._demand.park()
            await self._backoff.wait()
            try:
                await self._open(nursery)
            except ConnectError as error:
                if self._backoff.is_first:
                    log.warning("push.not_connected", host=self._origin.host, reason=error.reason)
                self._backoff.failed()

    async def _open(self, nursery: trio.Nursery) -> None:
        """A new connection that takes calls; raises ConnectError."""
        began = trio.current_time()
        link = None
        try:
            with trio.fail_at(began + CONNECT_SECONDS):
                stream = await self._dial(self._origin, self._ssl_context)
                link = Http2Link(stream, self)
                self._links[link] = began
                nursery.start_soon(self._carry, link)
                if not await link.wait_ready():
                    raise ConnectError("refused")
        except trio.TooSlowError as error:
            if link is not None:
                link.leave()
            raise ConnectError("timeout") from error

    async def _carry(self, link: Http2Link) -> None:
        try:
            await link.run()
        finally:
            self._judge(link)
            del self._links[link]
            self._gone.unpark()

    def _judge(self, link: Http2Link) -> None:
        """Whether a connection was worth having, once; those that were not are not replaced in a
        rush."""
        if link not in self._unjudged:
            return
        self._unjudged.remove(link)
        if link.has_served or self._is_old(link):
            self._backoff.worked()
        else:
            self._backoff.failed()

    def _is_old(self, link: Http2Link) -> bool:
        """It has stood for so long that its end is nobody's fault."""
        return trio.current_time() - self._links[link] >= PROVEN_SECONDS

    async def _drain(self) -> None:
        self._leave_all()
        with trio.move_on_after(DRAIN_SECONDS + FAREWELL_SECONDS):
            while self._links:
                await self._gone.park()

    def _leave_all(self) -> None:
        for link in list(self._links):
            link.leave()
