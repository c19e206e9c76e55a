"""What an operator sees of the lanes of one queue, and may do to them."""

from typing import Protocol, runtime_checkable

import attrs

from tocsin.model.channel import ChannelType


@attrs.frozen
class LaneStatus:
    """One lane now.

    `blocked` is why less is attempted than could be (see `ops.metrics.BLOCKED`), None while it
    flows.
    `under_way` are attempts, `held` deliveries in memory that wait for one; `due_at` is when the
    store next has something for it (epoch ms, None: nothing known).
    """

    name: str
    type: ChannelType
    width: int
    blocked: str | None
    under_way: int
    held: int
    due_at: int | None


@runtime_checkable
class LaneControl(Protocol):
    """The lanes of one queue. Nothing here waits."""

    def lane_statuses(self) -> list[LaneStatus]:
        """Every lane that has work, is busy or is blocked."""

    def blocked(self, name: str) -> str | None:
        """Why nothing is attempted there now, None while it flows."""

    def pause(self, name: str) -> None:
        """Attempt nothing more there, reason `paused`, until it is resumed, over restarts too;
        attempts under way go on. A lane nobody has heard of is paused all the same."""

    def resume(self, name: str) -> bool:
        """Whatever blocks the lane, a breaker too, does so no longer; False if nothing did. A
        paused credential is probed at once; for want of an access token it stays shut."""
