"""Who waits for the end of a delivery, and how it ended (push.md, PU-14).

A caller of the push gateway is answered what became of his push, after that was stored. Nobody
else may wait for a delivery: a producer is answered as soon as his notification is stored.
"""

from collections.abc import Callable, Collection, Mapping

import attrs

from tocsin.model.notification import Notification


@attrs.frozen
class Ending:
    """How a delivery ended. `result` is `delivered`, `refused`, `gone`, `expired`, `dead`,
    `collapsed`, `overflow` or `removed`."""

    result: str
    reason: str | None = None
    status: int | None = None


Callback = Callable[[Ending], None]


@attrs.define(eq=False)
class _Watch:
    callbacks: list[Callback] = attrs.field(factory=list)
    decided: bool = False


class Endings:
    """Tells endings to those who wait for them, in the loop's own time, right after the commit.

    Bounded by whoever watches: the gateway, by `push.max_waiting`. `unwatched` is told, if its
    notification is known, of an ending nobody waits for: always of pushes, for feedback (PU-17).
    """

    def __init__(self) -> None:
        self._watched: dict[int, _Watch] = {}
        self.unwatched: Callable[[int, Notification, Ending], None] = _nobody

    def __len__(self) -> int:
        return len(self._watched)

    @property
    def watched(self) -> Collection[int]:
        """The deliveries somebody waits for, by id."""
        return self._watched.keys()

    def watch(self, delivery_id: int, callback: Callback) -> None:
        """Have `callback` told how a delivery ends, once, unless `unwatch` comes first. To be
        called in the commit's callback: what has ended by then is told nobody."""
        self._watched.setdefault(delivery_id, _Watch()).callbacks.append(callback)

    def unwatch(self, delivery_id: int, callback: Callback | None = None) -> bool:
        """Wait no longer; without `callback` nobody does. False: the ending is decided and about to
        be told, after the commit that is under way, so go on waiting a moment."""
        watch = self._watched.get(delivery_id)
        if watch is None:
            return True
        if watch.decided:
            return False
        if callback is not None and callback in watch.callbacks:
            watch.callbacks.remove(callback)
        if callback is None or not watch.callbacks:
            del self._watched[delivery_id]
        return True

    def decide(self, delivery_id: int) -> bool:
        """Its ending is decided and will be told once it is stored; whether anybody waits for it,
        who will then be told for sure."""
        watch = self._watched.get(delivery_id)
        if watch is None:
            return False
        watch.decided = True
        return True

    def tell(self, delivery_id: int, notification: Notification | None, ending: Ending) -> None:
        """A delivery has ended, and that is stored. Never raises."""
        watch = self._watched.pop(delivery_id, None)
        if watch is not None:
            for callback in watch.callbacks:
                callback(ending)
        elif notification is not None:
            self.unwatched(delivery_id, notification, ending)

    def tell_all(self, pushes: Mapping[int, Notification], ending: Ending) -> None:
        """The same of many, by delivery id."""
        for delivery_id, notification in pushes.items():
            self.tell(delivery_id, notification, ending)


def _nobody(_delivery_id: int, _notification: Notification, _ending: Ending) -> None:
    """Nobody wants feedback."""
