"""tocsin.store.writer: one thread, shared commits, and what failures cost."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked

from tocsin.model.errors import StoreError
from tocsin.store import writer as writer_module
from tocsin.store.batches import Batches, Commit, Job
from tocsin.store.schema import open_database
from tocsin.store.writer import InlineWriter, Writer

Work = Callable[[apsw.Connection], Any]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where the database is."""
    return str(tmp_path / "store.db")


@pytest.fixture
def connection(path: str) -> Iterator[apsw.Connection]:
    """A database with a table to write numbers into."""
    connection = open_database(path)
    connection.execute("CREATE TABLE number(n INTEGER PRIMARY KEY)")
    yield connection
    connection.close()


class Bench:
    """A writer, and everything it reported."""

    def __init__(
        self, connection: apsw.Connection, *, most: int = 100, checkpoint_pages: int = 1_000_000
    ) -> None:
        self.commits: list[Commit] = []
        self.reports: list[tuple[str, object, str | None]] = []
        batches = Batches(connection, checkpoint_pages=checkpoint_pages)
        self.writer = Writer(batches, most_per_commit=most, on_commit=self.commits.append)
        self._news = trio.Event()

    def submit(self, name: str, work: Work, *, durable: bool = True) -> None:
        """Submit a job whose report is noted under a name."""

        def done(result: object, error: StoreError | None) -> None:
            self.reports.append((name, result, None if error is None else str(error)))
            self._news.set()

        self.writer.submit(Job(work, done, durable=durable))

    def look(self, name: str, work: Work = lambda _db: None) -> Job[Any]:
        """Submit a look whose report is noted under a name."""

        def done(result: object, error: StoreError | None) -> None:
            self.reports.append((name, result, None if error is None else str(error)))
            self._news.set()

        job = Job(work, done, durable=False)
        self.writer.submit_look(job)
        return job

    async def until(self, count: int) -> None:
        """Wait for that many reports."""
        with trio.fail_after(30):
            while len(self.reports) < count:
                self._news = trio.Event()
                await self._news.wait()

    @property
    def names(self) -> list[str]:
        """Who was reported, in order."""
        return [name for name, _, _ in self.reports]


class Gate:
    """Work during which the writer's thread stands still."""

    def __init__(self) -> None:
        self._entered = threading.Event()
        self._open = threading.Event()

    def __call__(self, _db: apsw.Connection) -> None:
        self._entered.set()
        assert self._open.wait(30)

    async def entered(self) -> None:
        """Wait until the thread is inside."""
        assert await trio.to_thread.run_sync(self._entered.wait, 30)

    def open(self) -> None:
        """Let the thread go on."""
        self._open.set()


def insert(number: int) -> Work:
    """Work that writes a number, which must not be there yet."""

    def work(db: apsw.Connection) -> int:
        db.execute("INSERT INTO number VALUES (?)", (number,))
        return number

    return work


def numbers(path: str) -> list[int]:
    """What another process would find in the file."""
    connection = apsw.Connection(path)
    found = [n for (n,) in connection.execute("SELECT n FROM number ORDER BY n")]
    connection.close()
    return found


async def test_what_waits_together_shares_a_commit(
    connection: apsw.Connection, nursery: trio.Nursery
) -> None:
    """Jobs that gather during one commit share the next, up to the limit (group commit)."""
    bench = Bench(connection, most=5)
    await nursery.start(bench.writer.run)
    gate = Gate()
    bench.submit("gate", gate)
    await gate.entered()
    for number in range(7):
        bench.submit(str(number), insert(number))
    gate.open()
    await bench.until(8)
    assert [commit.jobs for commit in bench.commits] == [1, 5, 2]
    assert bench.names == ["gate", *map(str, range(7))]


async def test_one_bad_job_costs_only_itself(
    connection: apsw.Connection, nursery: trio.Nursery, path: str
) -> None:
    """The others of its batch are stored, every report comes once and in order."""
    bench = Bench(connection)
    await nursery.start(bench.writer.run)
    gate = Gate()
    bench.submit("gate", gate)
    await gate.entered()
    bench.submit("a", insert(1))
    bench.submit("bad", insert(1))
    bench.submit("b", insert(2))
    gate.open()
    await bench.until(4)
    assert bench.names == ["gate", "a", "bad", "b"]
    assert [error is None for _, _, error in bench.reports] == [True, True, False, True]
    assert numbers(path) == [1, 2]


async def test_a_job_that_fails_halfway_leaves_nothing(
    connection: apsw.Connection, nursery: trio.Nursery, path: str
) -> None:
    """What it wrote before it failed is rolled back."""
    bench = Bench(connection)
    await nursery.start(bench.writer.run)

    def halfway(db: apsw.Connection) -> None:
        insert(1)(db)
        insert(1)(db)

    bench.submit("bad", halfway)
    bench.submit("good", insert(5))
    await bench.until(2)
    assert numbers(path) == [5]


async def test_failing_tells_of_the_last_commit(
    connection: apsw.Connection, nursery: trio.Nursery
) -> None:
    """Set while commits fail, and cleared by the next that works (OP-9)."""
    bench = Bench(connection)
    await nursery.start(bench.writer.run)
    bench.submit("a", insert(1))
    await bench.until(1)
    bench.submit("bad", insert(1))
    await bench.until(2)
    assert bench.writer.failing is not None
    assert bench.commits[-1].error == bench.writer.failing
    bench.submit("b", insert(2))
    await bench.until(3)
    assert bench.writer.failing is None


async def test_closing_finishes_what_was_submitted(connection: apsw.Connection, path: str) -> None:
    """Cancelled with jobs waiting, they are written and reported before `run` ends."""
    bench = Bench(connection, most=2)
    gate = Gate()
    async with trio.open_nursery() as nursery:
        await nursery.start(bench.writer.run)
        bench.submit("gate", gate)
        await gate.entered()
        for number in range(5):
            bench.submit(str(number), insert(number))
        nursery.cancel_scope.cancel()
        gate.open()
    assert bench.names == ["gate", "0", "1", "2", "3", "4"]
    assert numbers(path) == [0, 1, 2, 3, 4]
    with pytest.raises(StoreError, match="closed"):
        bench.submit("late", insert(9))


async def test_a_bug_in_a_job_ends_the_writer(connection: apsw.Connection) -> None:
    """It raises out of `run`; nothing of its batch is kept; later jobs are refused."""
    bench = Bench(connection)

    def bug(db: apsw.Connection) -> None:
        insert(1)(db)
        raise ZeroDivisionError("bug")

    with pytest.RaisesGroup(ZeroDivisionError):
        async with trio.open_nursery() as nursery:
            await nursery.start(bench.writer.run)
            bench.submit("bug", bug)
            await trio.sleep_forever()
    with pytest.raises(StoreError):
        bench.submit("late", insert(2))


async def test_too_many_waiting_are_refused(
    connection: apsw.Connection, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue to the thread is bounded; what is refused leaves the others alone."""
    monkeypatch.setattr(writer_module, "MOST_WAITING", 3)
    bench = Bench(connection)
    await nursery.start(bench.writer.run)
    gate = Gate()
    bench.submit("gate", gate)
    await gate.entered()
    for number in range(3):
        bench.submit(str(number), insert(number))
    with pytest.raises(StoreError, match="too far behind"):
        bench.submit("one too many", insert(9))
    gate.open()
    await bench.until(4)
    bench.submit("again", insert(9))
    await bench.until(5)


async def test_a_commit_waits_for_one_look_at_most(
    connection: apsw.Connection, nursery: trio.Nursery
) -> None:
    """Of a queue of looks one is with the thread; what commits comes before the next (SE-5)."""
    bench = Bench(connection)
    await nursery.start(bench.writer.run)
    gate = Gate()
    bench.look("begun", gate)
    await gate.entered()
    bench.look("first")
    bench.look("second")
    bench.submit("a", insert(1))
    bench.submit("b", insert(2))
    gate.open()
    await bench.until(5)
    assert bench.names == ["begun", "a", "b", "first", "second"]
    assert [commit.jobs for commit in bench.commits] == [1, 2, 1, 1]


async def test_looks_have_their_turn(connection: apsw.Connection, nursery: trio.Nursery) -> None:
    """While commits keep waiting, a look is done after each of them, and the oldest first."""
    bench = Bench(connection, most=1)
    await nursery.start(bench.writer.run)
    gate = Gate()
    bench.submit("gate", gate)
    await gate.entered()
    bench.look("first")
    bench.look("second")
    for number in range(3):
        bench.submit(str(number), insert(number))
    gate.open()
    await bench.until(6)
    assert bench.names == ["gate", "first", "0", "second", "1", "2"]


async def test_a_look_sees_what_was_submitted_before_it(
    connection: apsw.Connection, nursery: trio.Nursery
) -> None:
    """However many commits that takes; what came later it may see or not."""
    bench = Bench(connection, most=2)
    await nursery.start(bench.writer.run)
    gate = Gate()
    bench.submit("gate", gate)
    await gate.entered()
    for number in range(5):
        bench.submit(str(number), insert(number))
    bench.look("look", lambda db: db.execute("SELECT count(*) FROM number").fetchone()[0])
    for number in range(5, 9):
        bench.submit(str(number), insert(number))
    gate.open()
    await bench.until(11)
    [seen] = [result for name, result, _ in bench.reports if name == "look"]
    assert seen == 6
    assert bench.names.index("look") == 7


async def test_a_look_withdrawn_is_not_done(
    connection: apsw.Connection, nursery: trio.Nursery
) -> None:
    """One that has not begun is forgotten; one that has is reported, and so is everybody else."""
    bench = Bench(connection)
    await nursery.start(bench.writer.run)
    gate = Gate()
    begun = bench.look("begun", gate)
    await gate.entered()
    unwanted = bench.look("unwanted", insert(1))
    bench.look("last", lambda db: db.execute("SELECT count(*) FROM number").fetchone()[0])
    for job in (begun, unwanted, unwanted):
        bench.writer.withdraw(job)
    gate.open()
    await bench.until(2)
    assert bench.reports == [("begun", None, None), ("last", 0, None)]


async def test_too_many_looks_are_refused(
    connection: apsw.Connection, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their queue is bounded for itself: who commits is not refused because of them."""
    monkeypatch.setattr(writer_module, "MOST_LOOKS", 2)
    bench = Bench(connection)
    await nursery.start(bench.writer.run)
    gate = Gate()
    bench.submit("gate", gate)
    await gate.entered()
    bench.look("first")
    bench.look("second")
    with pytest.raises(StoreError, match="too many"):
        bench.look("one too many")
    bench.submit("a", insert(1))
    gate.open()
    await bench.until(4)
    assert sorted(bench.names) == ["a", "first", "gate", "second"]


async def test_closing_finishes_looks(connection: apsw.Connection) -> None:
    """Whoever waits for one when the store is closed is answered; nobody later."""
    bench = Bench(connection)
    gate = Gate()
    async with trio.open_nursery() as nursery:
        await nursery.start(bench.writer.run)
        bench.look("begun", gate)
        await gate.entered()
        bench.look("first")
        bench.submit("a", insert(1))
        bench.look("second")
        nursery.cancel_scope.cancel()
        gate.open()
    assert bench.names == ["begun", "a", "first", "second"]
    with pytest.raises(StoreError, match="closed"):
        bench.look("late")


async def test_the_log_is_moved_into_the_file(
    connection: apsw.Connection, nursery: trio.Nursery, path: str
) -> None:
    """Once the write-ahead log has grown past its pages, it starts over instead of growing."""
    bench = Bench(connection, checkpoint_pages=8)
    await nursery.start(bench.writer.run)
    log = Path(f"{path}-wal")
    for number in range(300):
        bench.submit(str(number), insert(number))
        await bench.until(number + 1)
    assert log.stat().st_size < 60 * 4096


async def test_only_durable_jobs_wait_for_the_disk(
    connection: apsw.Connection, nursery: trio.Nursery
) -> None:
    """A batch is synced if one of its jobs asks for it."""
    bench = Bench(connection)
    await nursery.start(bench.writer.run)

    def level(db: apsw.Connection) -> object:
        return db.pragma("synchronous")

    bench.submit("lazy", level, durable=False)
    await bench.until(1)
    bench.submit("durable", level)
    await bench.until(2)
    gate = Gate()
    bench.submit("gate", gate)
    await gate.entered()
    bench.submit("mixed", level, durable=False)
    bench.submit("mixed", insert(1))
    gate.open()
    await bench.until(5)
    assert [result for _, result, _ in bench.reports] == [1, 2, None, 2, 1]


async def test_reports_come_on_the_event_loop(
    connection: apsw.Connection, nursery: trio.Nursery
) -> None:
    """Work happens in the thread, `done` where Trio runs."""
    bench = Bench(connection)
    await nursery.start(bench.writer.run)
    threads: list[int] = []
    job = Job(
        lambda _db: threading.get_ident(), lambda _r, _e: threads.append(threading.get_ident())
    )
    bench.writer.submit(job)
    bench.submit("last", insert(1))
    await bench.until(1)
    assert threads == [threading.get_ident()]
    assert job.result != threading.get_ident()


async def test_the_inline_writer_keeps_the_same_rules(
    connection: apsw.Connection, nursery: trio.Nursery, path: str
) -> None:
    """Committed and reported before `submit` returns; a failure costs only itself."""
    writer = InlineWriter(Batches(connection, checkpoint_pages=1000))
    await nursery.start(writer.run)
    errors: list[bool] = []
    for number in (1, 1, 2):
        writer.submit(Job(insert(number), lambda _result, error: errors.append(error is not None)))
    assert errors == [False, True, False]
    assert writer.failing is None
    assert numbers(path) == [1, 2]
    await wait_all_tasks_blocked()


async def test_a_crashing_callback_costs_nobody_else_anything(
    connection: apsw.Connection,
) -> None:
    """It runs in the loop's own time, where an exception would end the process."""
    bench = Bench(connection)

    def crash(_result: object, _error: StoreError | None) -> None:
        raise RuntimeError("a bug in a session")

    async with trio.open_nursery() as nursery:
        await nursery.start(bench.writer.run)
        with capture_logs() as logs:
            bench.writer.submit(Job(lambda _db: None, crash))
            bench.submit("next", lambda _db: 7)
            await bench.until(1)
        nursery.cancel_scope.cancel()
    assert bench.reports == [("next", 7, None)]
    assert [entry["event"] for entry in logs] == ["store.callback_crashed"]
