"""Jobs for the database, and the transactions they share.

A batch runs in one transaction. One that fails is rolled back and its jobs are run again one by
one, so that one bad job costs only itself.

SQLite work is bound to statements that touch many rows: every statement gives up the interpreter
lock, and getting it back from a busy loop costs a switch interval.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import apsw
import attrs
import structlog

from tocsin.model.errors import StoreError
from tocsin.store.place import Place

log = structlog.get_logger()

T = TypeVar("T")


@attrs.frozen(eq=False)
class Merged:
    """Work that costs little more for many than for one; `run` gives each item its result."""

    run: Callable[[apsw.Connection, Sequence[Any]], Sequence[Any]]
    item: Any


@attrs.define(eq=False)
class Job(Generic[T]):
    """One unit of work. `done(result, error)` is called on the loop, exactly once.

    `work` may run twice and must keep no state outside the database. `durable` asks for the
    commit to be on disk before `done`; otherwise it survives a crash of the process but maybe
    not one of the machine. `work` as a `Merged` is run once for all such jobs in a row.
    """

    work: "Callable[[apsw.Connection], T] | Merged"
    done: Callable[[T | None, StoreError | None], None]
    durable: bool = True
    result: T | None = None
    error: StoreError | None = None

    def report(self) -> None:
        """Hand the result to whoever asked."""
        self.done(self.result, self.error)


@attrs.frozen
class Commit:
    """What one commit took, for the metrics; `error` if it failed. Only what must be durable
    tells whether writing works: a read may succeed on a full disk."""

    jobs: int
    seconds: float
    durable: bool
    error: str | None = None


def report(job: Job[Any]) -> None:
    """Hand a job's result to whoever asked; what that one makes of it is no concern of others.

    A callback runs in the loop's own time, where an exception would end the whole process.
    """
    try:
        job.report()
    except Exception:
        log.exception("store.callback_crashed")


class Batches:
    """Runs jobs in transactions on one connection."""

    def __init__(self, connection: apsw.Connection, *, checkpoint_pages: int) -> None:
        self.connection = connection
        self._place = Place(connection.filename)
        self._checkpoint_pages = checkpoint_pages
        self._wal_pages = 0
        self._synchronous = "full"
        connection.set_wal_hook(self._note_wal_pages)

    def run(self, jobs: Sequence[Job[Any]]) -> Commit:
        """Run the jobs and leave in each its result or its error."""
        start = time.perf_counter()
        failure: str | None = None
        try:
            self._transact(jobs)
        except apsw.Error as error:
            failure = str(error)
            self._roll_back()
            if len(jobs) == 1:
                jobs[0].error = StoreError(failure)
            else:
                failure = [self.run([job]).error for job in jobs][-1]
        durable = any(job.durable for job in jobs)
        return Commit(len(jobs), time.perf_counter() - start, durable, failure)

    def checkpoint_if_due(self) -> None:
        """Move the write-ahead log into the file once it has grown; never in a transaction."""
        if self._wal_pages < self._checkpoint_pages:
            return
        self._wal_pages = 0
        try:
            self.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error:
            return  # a full disk or a reader in the way: the log simply grows on until next time

    def _transact(self, jobs: Sequence[Job[Any]]) -> None:
        durable = any(job.durable for job in jobs)
        self._set_synchronous("full" if durable else "normal")
        execute = self.connection.execute
        execute("BEGIN IMMEDIATE")
        for merge, group in itertools.groupby(jobs, _merge_of):
            alike = list(group)
            if merge is None:
                for job in alike:
                    if not isinstance(job.work, Merged):
                        job.result = job.work(self.connection)
            else:
                items = [job.work.item for job in alike if isinstance(job.work, Merged)]
                for job, result in zip(alike, merge(self.connection, items), strict=True):
                    job.result = result
        if durable:
            self._place.check()
        execute("COMMIT")

    def _set_synchronous(self, level: str) -> None:
        if level != self._synchronous:
            self.connection.execute(f"PRAGMA synchronous={level}")
            self._synchronous = level

    def _roll_back(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def _note_wal_pages(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._wal_pages = pages
        return 0


def _merge_of(
    job: Job[Any],
) -> Callable[[apsw.Connection, Sequence[Any]], Sequence[Any]] | None:
    return job.work.run if isinstance(job.work, Merged) else None
