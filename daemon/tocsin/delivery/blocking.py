"""Who is told what blocks a lane: the gauge and the operator's list at once, events with care.

What comes and goes with single answers, `throttled` and `quota`, is an event once a minute at most;
in between an operator may be told late that it has begun again, never late that it is over.
"""

from tocsin.delivery.events import Events
from tocsin.delivery.lane import Lane
from tocsin.delivery.lanememory import LaneMemory
from tocsin.model.channel import ChannelType
from tocsin.ops.metrics import Metrics

FLICKERING = frozenset({"throttled", "quota"})
QUIET = 60_000


class Blocking:
    """What is known outside of what blocks the lanes of one channel type."""

    def __init__(
        self, kind: ChannelType, memory: LaneMemory, *, events: Events, metrics: Metrics
    ) -> None:
        self._kind = kind
        self._memory = memory
        self._events = events
        self._gauges = metrics.lanes_blocked

    def note(self, lane: Lane, now: int) -> bool:
        """Tell whoever is concerned where something has changed; True if the reason has."""
        self._memory.note(lane.name, lane.to_remember)
        reason = lane.reason(now)
        is_changed = reason != lane.blocked
        if is_changed:
            self._count(lane, reason)
        if reason != lane.told:
            self._tell(lane, reason, now)
        return is_changed

    def forget(self, lane: Lane, now: int) -> None:
        """The lane has nothing to do any more, and nothing to remember."""
        lane.unblock()
        self._memory.note(lane.name, None)
        if lane.blocked is not None:
            self._count(lane, None)
        if lane.told is not None:
            self._tell(lane, None, now)

    def recall(self, lane: Lane, now: int) -> None:
        """It was blocked before, in an earlier process; that is no event."""
        reason = lane.told = lane.reason(now)
        self._count(lane, reason)

    def _count(self, lane: Lane, reason: str | None) -> None:
        for one, step in ((lane.blocked, -1), (reason, 1)):
            if one is not None:
                self._gauges[self._kind, one].inc(step)
        lane.blocked = reason

    def _tell(self, lane: Lane, reason: str | None, now: int) -> None:
        if reason in FLICKERING:
            if now < lane.quiet_until:
                reason = None
            else:
                lane.quiet_until = now + QUIET
        if reason == lane.told:
            return
        event = "lane.blocked" if reason is not None else "lane.unblocked"
        self._events.emit(
            event, lane=lane.name, channel_type=self._kind.value, reason=reason or lane.told
        )
        lane.told = reason
