"""Calls that wait for a stream: first come, first served, urgent ones before all others."""

from collections import OrderedDict
from collections.abc import Iterator

from tocsin.model.notification import Priority
from tocsin.transports.push.call import Call


class Waiting:
    """A queue per priority (PU-60).

    It has no bound of its own: whoever calls waits for the answer, so there are never more than
    the lanes are wide together.
    """

    def __init__(self) -> None:
        self._queues: dict[Priority, OrderedDict[Call, None]] = {
            priority: OrderedDict() for priority in sorted(Priority)
        }

    def __len__(self) -> int:
        """How many wait."""
        return sum(map(len, self._queues.values()))

    def __bool__(self) -> bool:
        return any(self._queues.values())

    def __iter__(self) -> Iterator[Call]:
        """All of them, in their order."""
        for queue in self._queues.values():
            yield from queue

    def first(self) -> Call | None:
        """Whose turn it is."""
        return next(iter(self), None)

    def append(self, call: Call) -> None:
        """One that comes."""
        self._queues[call.priority][call] = None

    def put_back(self, call: Call) -> None:
        """One that had its turn already: before the others of its priority."""
        queue = self._queues[call.priority]
        queue[call] = None
        queue.move_to_end(call, last=False)

    def discard(self, call: Call) -> None:
        """One that has waited long enough."""
        self._queues[call.priority].pop(call, None)
