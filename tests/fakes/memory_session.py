"""A live session without a connection."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tocsin.delivery.sessions import Sessions
from tocsin.model.channel import Channel
from tocsin.model.delivery import Delivery

if TYPE_CHECKING:
    from tocsin.delivery.window import Written


class MemorySession:
    """Implements `tocsin.delivery.sessions.Session`: remembers what it was told.

    `crash` is called before each push and flush and may raise.
    """

    def __init__(
        self,
        sessions: Sessions,
        channel: Channel,
        *,
        log: list[str] | None = None,
        crash: Callable[[], None] = lambda: None,
    ) -> None:
        self.channel = channel
        self.pushed: list[Delivery] = []
        self.told: list[str] = [] if log is None else log
        self.ended: list[int] = []
        self.unsettled: list[Written] = []
        self.current: int | None = 0
        self._sessions = sessions
        self._crash = crash

    def push(self, delivery: Delivery) -> None:
        self._crash()
        self.pushed.append(delivery)
        self.told.append(delivery.notification.id)

    def fall_behind(self) -> None:
        self.told.append("behind")

    def ticket(self) -> int | None:
        return self.current

    def flush(self) -> None:
        self._crash()
        self.told.append("flush")

    def end(self, code: int) -> None:
        self.ended.append(code)
        self._sessions.detach(self, self.unsettled)

    @property
    def ids(self) -> list[str]:
        """The notifications pushed, in order."""
        return [delivery.notification.id for delivery in self.pushed]
