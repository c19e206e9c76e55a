"""How fast one project is pushed to: a token bucket that learns (push.md, PU-46).

Every push takes the next free slot of a timetable, the slots lying 1/rate apart; idle time gives
back a tenth of a second of them at most. The rate is the smaller of two: what the ramp allows,
which grows from a tenth to all of the configured rate after the start and after each pause, and
what the provider allows, which a pause halves and 10 clean seconds raise by a twentieth.

Nothing here has to be bounded: whoever waits is an attempt, and attempts are bounded by the width
of their lanes. Whose slot lies beyond its deadline does not wait at all.
"""

from collections.abc import Callable

import trio

BURST_SECONDS = 0.1
RAMP_START = 0.1
LEAST_SHARE = 0.01
CLEAN_SECONDS = 10.0
REST_SECONDS = 30.0
RECOVERY = 0.05


class Quota:
    """Slots for pushes. `rate` is pushes per second, 0 for no limit but pauses; `ramp` seconds."""

    def __init__(
        self, rate: float, ramp: float, seconds: Callable[[], float] = trio.current_time
    ) -> None:
        """`seconds` is the clock that Trio sleeps by."""
        self._rate = rate
        self._ramp = ramp
        self._seconds = seconds
        self._next = self._changed = self._ramp_from = seconds()
        self._last = self._paused_until = self._next
        self._pauses = 0
        self._share = 1.0

    async def acquire(self, *, deadline: float, urgent: bool = False) -> bool:
        """Wait for a slot; False, at once, if there is none before `deadline` (Trio's time).

        What is urgent waits for pauses only; its slot is taken off the others. A slot that was
        waited for in vain is lost.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        while True:
            pauses = self._pauses
            slot = self._reserve(deadline, urgent=urgent)
            if slot is None:
                await trio.lowlevel.cancel_shielded_checkpoint()
                return False
            if slot <= self._seconds():
                return True
            await trio.sleep_until(slot)
            if pauses == self._pauses:
                return True

    def pause(self, seconds: float) -> None:
        """The provider wants less: nothing for so long, and then half as much, slowly rising.

        Said again while it holds, it may become longer, but nothing is halved again: pushes under
        way when it began all say the same.
        """
        now = self._seconds()
        self._pauses += 1
        if now >= self._paused_until:
            self._share = max(self.share * 0.5, LEAST_SHARE)
        self._paused_until = max(self._paused_until, now + seconds)
        self._next = self._changed = self._ramp_from = self._paused_until

    @property
    def share(self) -> float:
        """How much of the configured rate the provider is thought to allow."""
        clean = (self._seconds() - self._changed) // CLEAN_SECONDS
        return min(1.0, self._share + RECOVERY * max(0.0, clean))

    @property
    def rate(self) -> float:
        """Pushes per second now; 0 if there is no limit."""
        return self._rate * min(self.share, self._ramped(self._seconds()))

    def _ramped(self, now: float) -> float:
        if not self._ramp or now - self._ramp_from >= self._ramp:
            return 1.0
        return RAMP_START + (1 - RAMP_START) * max(0.0, now - self._ramp_from) / self._ramp

    def _reserve(self, deadline: float, *, urgent: bool) -> float | None:
        """The time of the next free slot, now taken; None if it would be too late."""
        now = self._seconds()
        begin = max(now, self._paused_until)
        slot = max(self._next, begin - BURST_SECONDS)
        due = begin if urgent or not self._rate else max(slot, begin)
        if due > deadline:
            return None
        if begin - self._last >= REST_SECONDS:
            self._ramp_from = begin
        self._last = begin
        if self._rate:
            self._next = slot + 1 / self.rate
        return due
