"""Posts through a pool whose provider is in memory, and what became of them."""

from collections.abc import Sequence

import trio
import trio.testing
from tests.fakes.h2_provider import Provider, Request, post

from tocsin.model.notification import Priority
from tocsin.transports.push.call import NotSent, Result, Unknown
from tocsin.transports.push.pool import Http2Pool
from tocsin.wire.http2.events import Answer


class Posts:
    """Posts under way, each with a path, and their results as they come."""

    def __init__(self, nursery: trio.Nursery, pool: Http2Pool) -> None:
        self._nursery = nursery
        self._pool = pool
        self.results: dict[str, Result] = {}

    async def start(
        self,
        *paths: str,
        priority: Priority = Priority.NORMAL,
        seconds: float = 10.0,
        body: bytes = b"{}",
    ) -> None:
        """Begin them in this order, and see how far they come by themselves."""

        async def run(path: str) -> None:
            self.results[path] = await post(
                self._pool, path, priority=priority, seconds=seconds, body=body
            )

        for path in paths:
            self._nursery.start_soon(run, path)
            await trio.testing.wait_all_tasks_blocked()

    @property
    def statuses(self) -> dict[str, int | str]:
        return {path: shown(result) for path, result in self.results.items()}


def shown(result: Result) -> int | str:
    match result:
        case Answer(status=status):
            return status
        case NotSent(reason=reason):
            return f"not sent: {reason}"
        case Unknown(reason=reason):
            return f"unknown: {reason}"


def numbered(count: int) -> list[str]:
    return [f"/{number}" for number in range(count)]


def open_paths(requests: Sequence[Request]) -> list[str]:
    return [request.path for request in requests]


async def answer_all(provider: Provider) -> None:
    """Answer what has come, until nothing more comes."""
    while provider.requests:
        await provider.requests.pop(0).answer()
        await trio.testing.wait_all_tasks_blocked()
