"""Alarms of pushing: our mistakes or our configuration's, each told once an hour (push.md, C.3)."""

from collections.abc import Callable
from typing import Protocol

QUIET = 3_600_000
MOST_KNOWN = 10_000


class Emit(Protocol):
    """Where events go (`Events.emit`)."""

    def __call__(self, name: str, **fields: object) -> None:
        """Never waits, never raises."""


class Alarms:
    """Keeps quiet for an hour about what an operator has been told. Full, it forgets that."""

    def __init__(self, emit: Emit, clock: Callable[[], int]) -> None:
        self._emit = emit
        self._clock = clock
        self._quiet_until: dict[tuple[str, str], int] = {}

    def sound(self, app_id: str, reason: str, **fields: object) -> None:
        """Tell an operator to look after an app, unless this was told lately."""
        now = self._clock()
        if self._quiet_until.get((app_id, reason), 0) > now:
            return
        if len(self._quiet_until) >= MOST_KNOWN:
            self._quiet_until.clear()
        self._quiet_until[app_id, reason] = now + QUIET
        self._emit("push.alarm", app_id=app_id, reason=reason, **fields)
