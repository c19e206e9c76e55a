"""Time limits that do not run while it is us who keep somebody waiting (delivery.md, isolation)."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from tocsin.transports.notconnected import OwnLimitError

OWN_WAIT = 5.0


class Patience:
    """How long a far side may take: the cancel scopes that say so."""

    __slots__ = ("_limits",)

    def __init__(self, *limits: trio.CancelScope) -> None:
        self._limits = limits

    @contextmanager
    def waiting(self, reason: str) -> Iterator[None]:
        """To wait for something of our own within, while the limits stand still.

        At most 5 s; then OwnLimitError with this reason.
        """
        since = trio.current_time()
        deadlines = [limit.deadline for limit in self._limits]
        for limit in self._limits:
            limit.deadline = math.inf
        try:
            with trio.move_on_after(OWN_WAIT) as own:
                yield
        finally:
            waited = trio.current_time() - since
            for limit, deadline in zip(self._limits, deadlines, strict=True):
                limit.deadline = deadline + waited
        if own.cancelled_caught:
            raise OwnLimitError(reason)


UNLIMITED = Patience()
