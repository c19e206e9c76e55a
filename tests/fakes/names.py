"""Names that are looked up in virtual time, without threads."""

import socket
from collections import Counter
from collections.abc import Callable, Sequence

import outcome
import trio

from tocsin.transports.lookups import Lookups, Result, SocketAddress

PUBLIC = "1.1.1.1"


class VirtualNames:
    """Every name leads to PUBLIC, after as many seconds as the test says.

    `asked` is what was looked up, in order; `busy` which lookups have not come back.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.takes: dict[str, float] = {}
        self.asked: list[str] = []
        self.busy: Counter[str] = Counter()
        self.has_threads = True

    def lookups(self, **options: int) -> Lookups:
        return Lookups(self.resolve, spawn=self.spawn, **options)

    def resolve(self, host: str, port: int) -> list[SocketAddress]:
        self.asked.append(host)
        return [(socket.AF_INET, (PUBLIC, port))]

    def spawn(
        self,
        fn: Callable[[], Sequence[SocketAddress]],
        deliver: Callable[[Result], object],
        name: str | None = None,
    ) -> None:
        if not self.has_threads:
            raise RuntimeError("can't start new thread")
        result = outcome.capture(fn)
        self._nursery.start_soon(self._answer, self.asked[-1], deliver, result, name=name)

    async def _answer(self, host: str, deliver: Callable[[Result], object], result: Result) -> None:
        self.busy[host] += 1
        await trio.sleep(self.takes.get(host, 0.01))
        self.busy[host] -= 1
        deliver(result)
