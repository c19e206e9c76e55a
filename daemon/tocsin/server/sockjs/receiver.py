"""The response to a receiving request, as a session writes to it."""

from typing import Final, Protocol

STALLED: Final = 30.0


class Receiver(Protocol):
    """The response to a receiving request, whatever transport writes it.

    `write`, `end` and `abort` must not call the session back, with one exception: `ended` may
    come from inside `write` and `end`.
    """

    @property
    def transport(self) -> str:
        """`xhr-polling`, `eventsource`..."""

    @property
    def blocked_since(self) -> float | None:
        """When what waits for the peer to read last moved; None if nothing waits."""

    def write(self, frame: bytes) -> bool:
        """Send a frame, now or behind what waits.

        False: the response ends with it, because it crosses response_limit or the transport has
        but one (SJ-15). There is no further call then but `abort`.
        """

    def end(self) -> None:
        """End the response properly behind what waits."""

    def abort(self) -> None:
        """Drop the connection: its peer does not read."""


def answer(receiver: Receiver, frame: bytes) -> None:
    """One frame, and the end."""
    if receiver.write(frame):
        receiver.end()


def is_stalled(receiver: Receiver, now: float, *, after: float = STALLED) -> bool:
    """Whether its peer has read nothing for so long that nobody is there."""
    return receiver.blocked_since is not None and now - receiver.blocked_since >= after
