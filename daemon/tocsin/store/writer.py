"""One thread owns the database; requests that wait together share one commit.

Callers on the event loop submit a `Job`; what gathers during one turn of the loop, or while the
thread is busy, is handed to the thread as one list, which runs it in one transaction, commits,
and reports it back with a single wake-up. So the thread is woken once per commit, and a loop
that is busy makes commits larger instead of more. Jobs run, and are reported, strictly in the
order of submission: what was submitted earlier is seen by what is submitted later. A batch that
fails is rolled back and its jobs are run again one by one, so that one bad job costs only itself.

Reads for somebody who looks back, which may be many and long, are *looks*: they wait here in a
queue of their own and go to the thread one at a time, so that a commit waits for one of them at
most. A look comes after all that was submitted before it, and maybe after some that came later;
who does not want it any more takes it back.

SQLite work is bound to statements that touch many rows: every statement gives up the
interpreter lock, and getting it back from a busy loop costs a switch interval.
"""

import itertools
import queue
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import apsw
import attrs
import structlog
import trio

from tocsin.model.errors import StoreError
from tocsin.store.place import Place

log = structlog.get_logger()

T = TypeVar("T")
MOST_WAITING = 20_000
MOST_LOOKS = 1_000


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


class Writer:
    """The thread. `submit` never blocks; `run` lives as long as the store is open."""

    def __init__(
        self, batches: Batches, *, most_per_commit: int, on_commit: Callable[[Commit], None]
    ) -> None:
        self._batches = batches
        self._most = most_per_commit
        self._on_commit = on_commit
        self._waiting: deque[Job[Any]] = deque()
        self._looks: OrderedDict[Job[Any], int] = OrderedDict()
        self._submitted = self._taken = 0
        self._has_looked = False
        self._wanted = trio.Event()
        self._is_busy = False
        self._handed: queue.SimpleQueue[list[Job[Any]] | None] = queue.SimpleQueue()
        self._failure: BaseException | None = None
        self._closed = False
        self.failing: str | None = None

    def submit(self, job: Job[Any]) -> None:
        """Queue a job; one too many, or one after closing, raises `StoreError` at once."""
        if self._closed:
            raise StoreError("the store is closed")
        if len(self._waiting) >= MOST_WAITING:
            raise StoreError("the store is too far behind")
        self._waiting.append(job)
        self._submitted += 1
        self._wanted.set()

    def submit_look(self, job: Job[Any]) -> None:
        """Queue a job that only reads, as a look; it raises as `submit` does."""
        if self._closed:
            raise StoreError("the store is closed")
        if len(self._looks) >= MOST_LOOKS:
            raise StoreError("too many are looking")
        self._looks[job] = self._submitted
        self._wanted.set()

    def withdraw(self, job: Job[Any]) -> None:
        """Forget a look that has not begun: it is not done, nor reported. No-op for any other."""
        self._looks.pop(job, None)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the thread until cancelled; then finish what was submitted and close.

        A bug in a job ends the thread and raises here: the process must not go on without its
        store.
        """
        token = trio.lowlevel.current_trio_token()
        ended = trio.Event()
        thread = threading.Thread(target=self._loop, args=(token, ended), name="store", daemon=True)
        thread.start()
        task_status.started()
        try:
            while not ended.is_set():
                await self._wanted.wait()
                self._wanted = trio.Event()
                if not self._is_busy:
                    self._hand_over()
        finally:
            self._closed = True
            while self._waiting or self._looks:
                self._hand_over()
            self._handed.put(None)
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 30):
                await ended.wait()
        if self._failure is not None:
            raise self._failure

    def _hand_over(self) -> None:
        jobs = self._next_look() or self._next_jobs()
        if jobs:
            self._is_busy = True
            self._handed.put(jobs)

    def _next_look(self) -> list[Job[Any]]:
        """The look that has waited for longest, if it is its turn: behind all that came before it,
        and after each one those that commit have theirs."""
        may_look = bool(self._looks) and not (self._has_looked and self._waiting)
        self._has_looked = False
        if may_look:
            job, behind = next(iter(self._looks.items()))
            if behind <= self._taken:
                del self._looks[job]
                self._has_looked = True
                return [job]
        return []

    def _next_jobs(self) -> list[Job[Any]]:
        count = min(self._most, len(self._waiting))
        self._taken += count
        return [self._waiting.popleft() for _ in range(count)]

    def _loop(self, token: trio.lowlevel.TrioToken, ended: trio.Event) -> None:
        try:
            while (jobs := self._handed.get()) is not None:
                commit = self._batches.run(jobs)
                token.run_sync_soon(self._report, jobs, commit)
                self._batches.checkpoint_if_due()
        # Carried over to `run`, which raises it.
        except BaseException as error:  # noqa: BLE001, ASYNC103
            self._failure = error
        finally:
            self._batches.connection.close()
            token.run_sync_soon(self._end, ended)

    def _report(self, jobs: list[Job[Any]], commit: Commit) -> None:
        self._is_busy = False
        self._wanted.set()
        if commit.durable:
            self.failing = commit.error
        self._on_commit(commit)
        for job in jobs:
            report(job)

    def _end(self, ended: trio.Event) -> None:
        ended.set()
        self._wanted.set()


class InlineWriter:
    """The same without a thread: every job is committed as it is submitted.

    For tests under a mock clock, and for tools that open a store by themselves.
    """

    def __init__(self, batches: Batches) -> None:
        self._batches = batches
        self._closed = False
        self.failing: str | None = None

    def submit(self, job: Job[Any]) -> None:
        """Run the job now and report it; one after closing raises `StoreError`."""
        if self._closed:
            raise StoreError("the store is closed")
        commit = self._batches.run([job])
        if commit.durable:
            self.failing = commit.error
        self._batches.checkpoint_if_due()
        report(job)

    submit_look = submit

    def withdraw(self, job: Job[Any]) -> None:
        """See `Writer.withdraw`; here none waits."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Nothing to keep running; closes the database when cancelled."""
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            self._closed = True
            self._batches.connection.close()
