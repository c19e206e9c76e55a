"""One connection of a subscriber: what it says is done, one thing at a time (messaging.md, 4).

It comes in, and a message is done, by a task that lives no longer than that. Meanwhile what else
the client says waits in its inbox, which is bounded, and what is new for it waits in the `Feed`: so
there are first the replies, then the `ack`, then everything else (MS-19).

What a client had said before it left is done, like everything else, and nobody is told.
"""

import math
from collections.abc import Awaitable, Callable
from typing import Final, cast

import trio

from tocsin.model.conversation import Subscriber
from tocsin.model.errors import StoreError
from tocsin.server.messaging.admitted import Admitted
from tocsin.server.messaging.feed import Feed
from tocsin.server.messaging.inhand import InHand, acknowledge
from tocsin.server.messaging.outlet import Outlet
from tocsin.server.messaging.world import World
from tocsin.server.sockjs.application import Connection
from tocsin.store.mail import LogState, Posted
from tocsin.wire.messaging import answers
from tocsin.wire.messaging.clientmessages import ClientMessage, Resume
from tocsin.wire.messaging.cursor import cursor
from tocsin.wire.messaging.envelope import Ignored, Refused, parse
from tocsin.wire.messaging.refusals import ErrorCode, MessageError
from tocsin.wire.sockjs.frames import INTERNAL_ERROR, TRY_AGAIN_LATER, UNAUTHORIZED

RATE_LIMIT: Final = (1008, "Rate limit")
REPLACED: Final = (4000, "Replaced")
RECEIPT: Final = "delivery"

Job = Callable[[], Awaitable[None]]


class Conversant:
    """A `Link`, once it has come in; in the wheel for the end of its hold.

    `is_busy`: a task of it is under way.
    """

    __slots__ = (
        "__weakref__",
        "_asked",
        "_connection",
        "_feed",
        "_is_gone",
        "_outlet",
        "_parting",
        "_proven",
        "_start",
        "_world",
        "is_busy",
        "since",
        "subscriber",
    )

    subscriber: Subscriber

    def __init__(
        self, world: World, connection: Connection, start: Callable[["Conversant", Job], None]
    ) -> None:
        """`start` starts a task, and calls `give_up` if it cannot, or if that crashes."""
        self._world = world
        self._connection = connection
        self._start = start
        self._outlet = Outlet(connection, world.settings.limits)
        self._feed: Feed | None = None
        self._proven = 0
        self._asked: ClientMessage | Refused | None = None
        self._parting: tuple[int, str] | None = None
        self._is_gone = False
        self.is_busy = False
        self.since = world.clock()

    # -- for the rest of messaging -------------------------------------------------------------

    @property
    def admitted(self) -> Admitted:
        """Who was let in."""
        return cast("Admitted", self._connection.principal)

    @property
    def correlator(self) -> str | None:
        """See `Link`."""
        return self.admitted.correlator

    @property
    def transport(self) -> str:
        """See `Link`."""
        return self._connection.transport

    @property
    def position(self) -> int:
        """See `Link`."""
        return 0 if self._feed is None else self._feed.position

    def posted(self, entry: Posted) -> None:
        """See `Link`. What its client has read is for the others of the subscriber (MS-59)."""
        if self._feed is not None:
            is_own_receipt = entry.origin is self and entry.rendered.type == RECEIPT
            self._feed.posted(entry, is_wanted=not is_own_receipt)

    def told(self, about: int, text: bytes) -> None:
        """See `Link`."""
        if self._feed is not None:
            self._feed.told(about, text)

    def notify(self, text: bytes) -> None:
        """See `Link`."""
        if self._feed is not None:
            self._feed.note(text)

    def hinted(self, text: bytes) -> None:
        """See `Link`."""
        if self._feed is not None:
            self._feed.hinted(text)

    def end(self, code: int, reason: str = INTERNAL_ERROR[1]) -> None:
        """See `Link` and `Ticking`. From here on it is no live connection, although its client
        may not know yet."""
        self._connection.close(code, reason)
        self._leave()
        self._outlet.wake()

    def part(self, code: int, reason: str) -> None:
        """Close when the message in hand has been answered, but wait for no slow reader."""
        if self.is_busy and not self._outlet.is_waited_for:
            self._parting = code, reason
        else:
            self.end(code, reason)

    def give_up(self, code: int, reason: str) -> None:
        """Close; its task has crashed or could not be started. What the client still says is
        dropped."""
        self.end(code, reason)
        self._feed = None
        self._connection.resume()

    def tick(self, _now: float) -> float | None:
        """Nothing was said for as long as a `resume` is waited for (MS-61)."""
        if self._feed is not None:
            self._feed.begin()
        return None

    # -- for SockJS ----------------------------------------------------------------------------

    def opened(self) -> None:
        """The client is here; what it says waits until its Log is open."""
        self._world.metrics.messaging_connections[self.transport].inc()
        self._connection.pause()
        if self._world.tokens.begin(self, self.admitted):
            self._run(self._come_in)
        else:
            self.end(*UNAUTHORIZED)

    def received(self, text: str) -> None:
        """Read a message; do it, or say at once why not."""
        world, feed = self._world, self._feed
        if feed is None:
            return  # it could not come in
        now = world.now()
        if world.rates.is_flood(self.subscriber.key, now):
            self.end(*RATE_LIMIT)
            return
        asked = parse(text, world.settings.limits)
        if isinstance(asked, Ignored):
            world.metrics.messaging_ignored[asked.reason].inc()
            return
        wait = world.rates.take(self.subscriber.key, now)
        if wait:
            error = MessageError(ErrorCode.RATE_LIMITED, "too many messages", math.ceil(wait))
            asked = Refused(asked.id, error, asked.type)
        if isinstance(asked, Refused) and self._outlet.has_room():
            acknowledge(world, self._outlet, asked, asked.error)
            feed.begin()
        else:
            self._take(feed, asked)

    def proven(self, count: int) -> None:
        """The client has so many messages: a receipt for what they were of the Log (MS-54)."""
        seq = self._outlet.proven(count)
        if seq is not None:
            self._world.receipts.proven(self, seq, after=self._proven)

    def drained(self) -> None:
        """There is room again."""
        self._outlet.wake()
        if self._feed is not None:
            self._feed.drained()

    def closed(self, code: int) -> None:
        """It is over."""
        metrics = self._world.metrics
        metrics.messaging_connections[self.transport].dec()
        metrics.messaging_closes[str(code)].inc()
        self._leave()
        self._outlet.wake()

    def _leave(self) -> None:
        world, was_gone = self._world, self._is_gone
        self._is_gone = True
        if was_gone:
            return
        world.tokens.ended(self, self.admitted)
        if self._feed is not None:
            was_last = world.live.detach(self)
            world.presence.left(self)
            if was_last:
                world.register.let_go(self.subscriber)

    # -- coming in -----------------------------------------------------------------------------

    async def _come_in(self) -> None:
        """Open the Log. What is posted from then on comes here, so nothing is missed."""
        world, who = self._world, self.admitted
        try:
            self.subscriber = await world.register.subscriber(who.domain, who.subscriber_id)
            await world.store.open_log(self.subscriber, self._log_opened)
            await world.register.hold_rooms(self.subscriber)
            if not world.live.is_live(self.subscriber.key):
                world.register.let_go(self.subscriber)
        except StoreError:
            self.end(*TRY_AGAIN_LATER)
        self._connection.resume()
        await self._converse()

    def _log_opened(self, state: LogState | None, _error: StoreError | None) -> None:
        if state is None or self._is_gone:
            return
        world, settings = self._world, self._world.settings
        self._feed = Feed(world, self._outlet, self.subscriber.key, state)
        self._proven = state.proven
        replaced = world.live.attach(self)
        if replaced is not None:
            replaced.end(*REPLACED)
        if settings.welcome:
            end = cursor(world.epoch, state.last)
            retention = settings.limits.log_age
            welcome = answers.welcome(self.subscriber.id, cursor=end, retention=retention)
            self._outlet.write(welcome)
        world.schedule(self, world.now() + settings.resume_hold)

    # -- messages ------------------------------------------------------------------------------

    def _run(self, job: Job) -> None:
        self.is_busy = True
        self._start(self, job)

    def _take(self, feed: Feed, asked: ClientMessage | Refused) -> None:
        """It is in hand; nothing else leaves, and nothing is read, until it was answered."""
        self._asked = asked
        self._connection.pause()
        feed.hold_back()
        if not isinstance(asked, Resume):
            feed.begin()
        if not self.is_busy:
            self._run(self._converse)

    async def _converse(self) -> None:
        """Answer what is in hand, and what is taken when that has been done."""
        while self._feed is not None and self._asked is not None:
            in_hand = InHand(self._world, self, self._outlet, self._feed)
            await in_hand.answer(self._asked)
            self._asked = None
            self._feed.free()
            if self._parting is not None:
                break
            self._connection.resume()
            await trio.lowlevel.checkpoint()
        self.is_busy = False
        if self._parting is not None:
            self.end(*self._parting)
