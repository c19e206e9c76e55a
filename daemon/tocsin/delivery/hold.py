"""What a lane holds: claimed deliveries that wait for a worker."""

import heapq
from collections.abc import Iterable, Iterator

from tocsin.model.notification import Priority
from tocsin.store.records import Claimed

MOST_STALE = 64


class Hold:
    """Gives out urgent ones first, then by age.

    What is taken out from the middle leaves its place in the heap, which is tidied when such
    places are more than what is left.
    """

    __slots__ = ("_by_id", "_heap", "urgent")

    def __init__(self) -> None:
        self._by_id: dict[int, Claimed] = {}
        self._heap: list[tuple[int, int]] = []
        self.urgent = 0

    def __len__(self) -> int:
        return len(self._by_id)

    @property
    def next_is_urgent(self) -> bool:
        """What would be taken now is urgent."""
        return self.urgent > 0

    @property
    def next_is_normal(self) -> bool:
        """There is something, and nothing urgent."""
        return not self.urgent and bool(self._by_id)

    def add(self, claimed: Iterable[Claimed]) -> None:
        """Keep what was claimed."""
        for one in claimed:
            priority = one.notification.priority
            self._by_id[one.id] = one
            heapq.heappush(self._heap, (priority, one.id))
            self.urgent += priority is Priority.URGENT

    def take(self) -> Claimed | None:
        """The next delivery to attempt."""
        while self._heap:
            _, id_ = heapq.heappop(self._heap)
            found = self._by_id.pop(id_, None)
            if found is not None:
                self.urgent -= found.notification.priority is Priority.URGENT
                return found
        return None

    def clear(self) -> list[Claimed]:
        """Everything, in no order."""
        held = list(self._by_id.values())
        self._by_id.clear()
        self._heap.clear()
        self.urgent = 0
        return held

    def pick(self, ids: Iterable[int]) -> list[Claimed]:
        """Take these out, as far as they are here."""
        picked = [self._by_id.pop(id_) for id_ in ids if id_ in self._by_id]
        self.urgent -= sum(one.notification.priority is Priority.URGENT for one in picked)
        if len(self._heap) > 2 * len(self._by_id) + MOST_STALE:
            self._heap = [(one.notification.priority, one.id) for one in self._by_id.values()]
            heapq.heapify(self._heap)
        return picked

    def __iter__(self) -> Iterator[Claimed]:
        """Everything, in no order."""
        return iter(self._by_id.values())
