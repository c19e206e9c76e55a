"""Jobs for the writer: submitted in order, waited for or not."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import apsw
import trio

from tocsin.model.errors import StoreError
from tocsin.store.batches import Job, Merged, report
from tocsin.store.vault import PLAIN, Vault
from tocsin.store.writer import InlineWriter, Writer

T = TypeVar("T")
Done = Callable[[T | None, StoreError | None], None]


class Jobs:
    """What a store does with its writer, and how it keeps secrets."""

    _vault: Vault = PLAIN

    def __init__(self, writer: Writer | InlineWriter) -> None:
        self._writer = writer

    async def _perform(
        self,
        work: Callable[[apsw.Connection], T] | Merged,
        on_done: Done[T] | None = None,
        *,
        durable: bool = True,
    ) -> T:
        """Submit a job and wait for its commit. Cancellation ends the waiting, not the job."""
        reply: _Reply[T] = _Reply(on_done)
        self._submit(Job(work, reply.arrived, durable=durable))
        return await reply.wait()

    async def _look(self, work: Callable[[apsw.Connection], T]) -> T:
        """Have something read, in its turn among all that do so; commits go before the second of
        them. Cancelled before it has begun, it is not done."""
        reply: _Reply[T] = _Reply()
        job = Job(work, reply.arrived, durable=False)
        try:
            self._writer.submit_look(job)
            return await reply.wait()
        finally:
            self._writer.withdraw(job)

    def _later(self, work: Callable[[apsw.Connection], None]) -> None:
        self._submit(Job(work, _ignore, durable=False))

    def _submit(self, job: Job[Any]) -> None:
        """Hand a job to the writer; one it does not take is reported like one that failed."""
        try:
            self._writer.submit(job)
        except StoreError as error:
            job.error = error
            report(job)


class _Reply(Generic[T]):
    """Carries one job's result from the writer's wake-up to the task that waits for it."""

    __slots__ = ("error", "event", "on_done", "result")

    def __init__(self, on_done: Done[T] | None = None) -> None:
        self.on_done = on_done
        self.event = trio.Event()
        self.result: T | None = None
        self.error: StoreError | None = None

    def arrived(self, result: T | None, error: StoreError | None) -> None:
        self.result, self.error = result, error
        try:
            if self.on_done is not None:
                self.on_done(result, error)
        finally:
            self.event.set()

    async def wait(self) -> T:
        """The result, once it is there; or its error raised."""
        await self.event.wait()
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]  # a job without an error has a result


def _ignore(_result: None, _error: StoreError | None) -> None:
    """Lazy writes may be lost; the commit's failure is counted where commits are."""
