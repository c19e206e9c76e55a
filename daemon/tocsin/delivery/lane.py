"""One far side that shares a fate: what is held for it in memory, and how busy it is."""

import heapq

import attrs

from tocsin.store.interface import Claimed


@attrs.define(eq=False)
class Lane:
    """The state of one lane; the queue acts on it.

    `due_at` is when the store next has something for it (epoch ms, None: nothing). `claiming`
    is true while a claim is under way; `woken` and `heard` note what arrived meanwhile.
    """

    name: str
    width: int
    window: int
    due_at: int | None = None
    claiming: bool = False
    woken: bool = False
    heard: int | None = None
    urgent: bool = False
    workers: int = 0
    _held: list[tuple[int, int, Claimed]] = attrs.field(factory=list)

    def wants(self, now: int) -> int:
        """How many deliveries to claim now; 0 while there is no room, nothing due, or a claim
        under way. For urgent ones there is room for a second window."""
        if self.claiming or self.due_at is None or self.due_at > now:
            return 0
        if self.urgent:
            room = self.window - len(self._held)
            return max(room, min(self.width, room + self.window), 0)
        return self.window - len(self._held) if len(self._held) < self.width else 0

    def hold(self, claimed: list[Claimed]) -> None:
        """Keep what was claimed, urgent first, then in the order of acceptance."""
        for one in claimed:
            heapq.heappush(self._held, (one.notification.priority, one.id, one))

    def take(self) -> Claimed | None:
        """The next delivery to attempt."""
        return heapq.heappop(self._held)[2] if self._held else None

    def release(self) -> list[Claimed]:
        """Everything held, for the end."""
        held, self._held = self._held, []
        return [one for _, _, one in held]

    @property
    def spare_workers(self) -> int:
        """How many more workers there is work and width for."""
        return min(self.width - self.workers, len(self._held))

    @property
    def has_work(self) -> bool:
        """Something is held."""
        return bool(self._held)

    @property
    def is_idle(self) -> bool:
        """Nothing held, nothing under way, nothing in the store."""
        return not (self._held or self.workers or self.claiming or self.due_at is not None)
