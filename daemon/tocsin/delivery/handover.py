"""From the commit to whoever delivers: sessions get deliveries from memory, queues get a nudge.

Called from the store's wake-up, in the order of commits, so that a producer's first notification
is on its way before its second one is accepted. A large fan-out is cut into slices; what is left
over is pushed by a task that gives way to others in between.
"""

from collections import deque
from collections.abc import Callable, Iterable

import structlog
import trio

from tocsin.delivery.sessions import Session, Sessions
from tocsin.model.delivery import Delivery
from tocsin.ops.service import Progress
from tocsin.store.interface import Acceptance

SLICE = 300
MOST_WAITING = 100_000

log = structlog.get_logger()


class Handover:
    """Passes committed deliveries on."""

    def __init__(self, sessions: Sessions, wake: Callable[[str, bool], None]) -> None:
        """`wake(lane, urgent)` nudges the queue that serves a lane."""
        self._sessions = sessions
        self._wake = wake
        self._waiting: deque[Delivery] = deque()
        self._more = trio.Event()

    def committed(self, acceptance: Acceptance) -> None:
        """Pass on what has just become durable; never raises."""
        live: list[Delivery] = []
        lanes: dict[str, bool] = {}
        for legs in acceptance.deliveries:
            for delivery in legs:
                lane = delivery.channel.lane
                if lane is not None:
                    lanes[lane] = lanes.get(lane, False) or not delivery.notification.priority
                elif self._sessions.of(delivery.channel) is not None:
                    live.append(delivery)
        for lane, urgent in lanes.items():
            self._wake(lane, urgent)
        if self._waiting or len(live) > SLICE:
            self._queue(live)
        elif live:
            self._push(live)

    async def run(self, progress: Progress) -> None:
        """Push what was too much at once, a slice at a time."""
        while True:
            progress.waiting("large fan-outs")
            await self._more.wait()
            self._more = trio.Event()
            while self._waiting:
                progress.beat()
                count = min(SLICE, len(self._waiting))
                self._push([self._waiting.popleft() for _ in range(count)])
                await trio.lowlevel.checkpoint()

    def _queue(self, live: list[Delivery]) -> None:
        """Beyond the bound a session is only told that the store has something for it."""
        room = MOST_WAITING - len(self._waiting)
        self._waiting.extend(live[:room])
        self._more.set()
        for delivery in live[room:]:
            session = self._sessions.of(delivery.channel)
            if session is not None:
                session.fall_behind()

    def _push(self, deliveries: Iterable[Delivery]) -> None:
        touched: dict[int, Session] = {}
        for delivery in deliveries:
            session = self._sessions.of(delivery.channel)
            if session is not None:
                touched[delivery.channel.key] = session
                self._fenced(session, delivery)
        for session in touched.values():
            self._fenced(session, None)

    def _fenced(self, session: Session, delivery: Delivery | None) -> None:
        """One delivery must not cost the others theirs: a crash ends that one session."""
        try:
            if delivery is None:
                session.flush()
            else:
                session.push(delivery)
        except Exception:
            log.exception("session.crashed", channel_id=session.channel.id)
            session.end(1011)
