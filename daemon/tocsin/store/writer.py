"""One thread owns the database; requests that wait together share one commit.

Callers on the event loop submit a `Job`; what gathers during one turn of the loop, or while the
thread is busy, is handed to the thread as one list, which runs it in one transaction, commits,
and reports it back with a single wake-up. So the thread is woken once per commit, and a loop
that is busy makes commits larger instead of more. Jobs run, and are reported, strictly in the
order of submission: what was submitted earlier is seen by what is submitted later.

Reads for somebody who looks back, which may be many and long, are *looks*: they wait here in a
queue of their own and go to the thread one at a time, so that a commit waits for one of them at
most. A look comes after all that was submitted before it, and maybe after some that came later;
who does not want it any more takes it back.
"""

import queue
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, Final

import trio

from tocsin.model.errors import StoreError
from tocsin.store.batches import Batches, Commit, Job, report

MOST_WAITING: Final = 20_000
MOST_LOOKS: Final = 1_000


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
