"""From the commit to whoever delivers: sessions get deliveries from memory, queues get a nudge.

Called from the store's wake-up, in the order of commits, so that a producer's first notification
is on its way before its second one is accepted. A large fan-out is cut into slices; what is left
over is pushed by a task that gives way to others in between.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import structlog

from tocsin.delivery.followers import Key
from tocsin.delivery.sessions import Session, Sessions
from tocsin.model.delivery import Delivery
from tocsin.model.notification import Priority
from tocsin.ops.service import Progress
from tocsin.ops.slices import Slices
from tocsin.store.records import Acceptance

SLICE = 300
MOST_WAITING = 100_000

log = structlog.get_logger()


class Later(NamedTuple):
    """A delivery whose turn comes with a later slice. `ticket` is the session's at the commit:
    if it has changed, the session has looked into the store and may have this one already."""

    session: Session
    ticket: int
    delivery: Delivery


class Handover:
    """Passes committed deliveries on."""

    def __init__(
        self, sessions: Sessions, wake: Callable[[str, bool, Sequence[Key]], None]
    ) -> None:
        """`wake(lane, urgent, keys)` nudges the queue that serves a lane; `keys` are those of what
        is urgent."""
        self._sessions = sessions
        self._wake = wake
        self._later: deque[Later] = deque()
        self._later_of: Counter[int] = Counter()
        self._slices = Slices(self._later, self._push_slice, of="large fan-outs")

    def committed(self, acceptance: Acceptance) -> None:
        """Pass on what has just become durable; never raises."""
        live: list[tuple[Session, Delivery]] = []
        lanes: dict[str, list[Key]] = {}
        for legs in acceptance.fresh():
            for delivery in legs:
                lane = delivery.channel.lane
                if lane is not None:
                    keys = lanes.setdefault(lane, [])
                    if delivery.notification.priority is Priority.URGENT:
                        keys.append((delivery.channel.key, delivery.notification.order_key))
                elif (session := self._sessions.of(delivery.channel)) is not None:
                    live.append((session, delivery))
        for lane, keys in lanes.items():
            self._wake(lane, bool(keys), keys)
        if len(live) > SLICE:
            self._postpone(live)
            return
        if not self._later:
            self._push(live)
            return
        # A session that waits for its turn in an earlier fan-out must not be overtaken.
        self._push([one for one in live if one[0].channel.key not in self._later_of])
        self._postpone([one for one in live if one[0].channel.key in self._later_of])

    async def run(self, progress: Progress) -> None:
        """Push what was too much at once, a slice at a time."""
        await self._slices.run(progress)

    def _postpone(self, live: list[tuple[Session, Delivery]]) -> None:
        """Beyond the bound, a session is only told that the store has something for it."""
        behind: list[Session] = []
        for session, delivery in live:
            ticket = session.ticket()
            if ticket is None or len(self._later) >= MOST_WAITING:
                behind.append(session)
            else:
                self._later.append(Later(session, ticket, delivery))
                self._later_of[session.channel.key] += 1
        self._fall_behind(behind)
        self._slices.arrived()

    def _push_slice(self) -> None:
        fresh: list[tuple[Session, Delivery]] = []
        behind: list[Session] = []
        for _ in range(min(SLICE, len(self._later))):
            session, ticket, delivery = self._later.popleft()
            key = session.channel.key
            self._later_of[key] -= 1
            if not self._later_of[key]:
                del self._later_of[key]
            current = self._sessions.of(delivery.channel)
            if current is session and session.ticket() == ticket:
                fresh.append((session, delivery))
            elif current is not None:
                behind.append(current)
        self._push(fresh)
        self._fall_behind(behind)

    def _push(self, live: list[tuple[Session, Delivery]]) -> None:
        for session, delivery in live:
            self._fenced(partial(session.push, delivery), session)
        self._flush(session for session, _ in live)

    def _fall_behind(self, sessions: list[Session]) -> None:
        for session in sessions:
            self._fenced(session.fall_behind, session)
        self._flush(sessions)

    def _flush(self, sessions: Iterable[Session]) -> None:
        """Each once, after all of it was pushed."""
        for session in {id(session): session for session in sessions}.values():
            self._fenced(session.flush, session)

    def _fenced(self, step: Callable[[], None], session: Session) -> None:
        """One delivery must not cost the others theirs: a crash ends that one session."""
        try:
            step()
        except Exception:
            log.exception("session.crashed", channel_id=session.channel.id)
            session.end(1011)
