"""tocsin.ops.supervisor (OP-10), on a clock that jumps."""

from collections.abc import Callable

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from tocsin.model.errors import StartupError
from tocsin.ops.metrics import Metrics
from tocsin.ops.service import Progress
from tocsin.ops.supervisor import Supervisor, SupervisorSettings


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def supervisor(metrics: Metrics) -> Supervisor:
    return Supervisor(SupervisorSettings(), metrics=metrics, now=lambda: 1_000_000)


def restarts(metrics: Metrics, task: str) -> float | None:
    return metrics.registry.get_sample_value("tocsin_task_restarts_total", {"task": task})


class Flaky:
    """Crashes as often as told, then waits for ever; knows when it was started."""

    def __init__(self, crashes: int, error: Callable[[], BaseException] = RuntimeError) -> None:
        self.crashes = crashes
        self.error = error
        self.starts: list[float] = []

    async def run(self, progress: Progress) -> None:
        self.starts.append(trio.current_time())
        if len(self.starts) <= self.crashes:
            raise self.error()
        progress.ready(self)
        progress.waiting("nothing")
        await trio.sleep_forever()


async def test_a_crash_is_logged_counted_and_started_again(
    autojump_clock: MockClock, supervisor: Supervisor, metrics: Metrics, nursery: trio.Nursery
) -> None:
    """After each crash the gap doubles; the log has the traceback, the metric the number."""
    service = Flaky(crashes=3)
    with capture_logs() as logs:
        assert (
            await nursery.start(
                lambda task_status: supervisor.supervise(
                    "flaky", service.run, task_status=task_status
                )
            )
            is service
        )
    gaps = [b - a for a, b in zip(service.starts, service.starts[1:], strict=False)]
    assert gaps == pytest.approx([0.5, 1, 2])
    assert restarts(metrics, "flaky") == 3
    crashes = [log for log in logs if log["event"] == "service.crashed"]
    assert len(crashes) == 3
    assert "RuntimeError" in crashes[0]["exception"]
    assert supervisor.healthy
    assert supervisor.status() == {"flaky": "waiting: nothing"}
    nursery.cancel_scope.cancel()


async def test_a_spent_budget_takes_only_that_service_down(
    autojump_clock: MockClock, supervisor: Supervisor, nursery: trio.Nursery
) -> None:
    """Five restarts in a minute, then it is down for good, named, and the others go on."""
    doomed, sound = Flaky(crashes=100), Flaky(crashes=0)
    nursery.start_soon(supervisor.supervise, "doomed", doomed.run)
    nursery.start_soon(supervisor.supervise, "sound", sound.run)
    await trio.sleep(600)
    assert len(doomed.starts) == 6
    assert not supervisor.healthy
    assert supervisor.failing() == ["doomed"]
    assert supervisor.status() == {
        "doomed": "down: gave up after too many restarts",
        "sound": "waiting: nothing",
    }
    nursery.cancel_scope.cancel()


async def test_crashes_far_apart_never_spend_the_budget(
    autojump_clock: MockClock, supervisor: Supervisor, metrics: Metrics, nursery: trio.Nursery
) -> None:
    """A service that crashes every two minutes goes on for ever."""

    async def run(_: Progress) -> None:
        await trio.sleep(120)
        raise RuntimeError

    nursery.start_soon(supervisor.supervise, "old", run)
    await trio.sleep(3000)
    assert supervisor.healthy
    assert restarts(metrics, "old") == 24
    nursery.cancel_scope.cancel()


async def test_a_stuck_service_is_cancelled_and_started_again(
    autojump_clock: MockClock, supervisor: Supervisor, metrics: Metrics, nursery: trio.Nursery
) -> None:
    """No beat within the bound: its last trace is logged, and it is restarted."""
    starts: list[float] = []

    async def stuck_once(progress: Progress) -> None:
        starts.append(trio.current_time())
        if len(starts) == 1:
            await trio.sleep_forever()
        progress.waiting()
        await trio.sleep_forever()

    with capture_logs() as logs:
        await nursery.start(supervisor.run)
        nursery.start_soon(lambda: supervisor.supervise("stuck", stuck_once, bound=10))
        await trio.sleep(100)
    assert len(starts) == 2
    assert 10 < starts[1] - starts[0] < 11
    assert restarts(metrics, "stuck") == 1
    (stuck,) = [log for log in logs if log["event"] == "service.stuck"]
    assert "in stuck_once" in stuck["trace"]
    assert supervisor.healthy
    nursery.cancel_scope.cancel()


async def test_beats_and_waiting_keep_a_service_alive(
    autojump_clock: MockClock, supervisor: Supervisor, metrics: Metrics, nursery: trio.Nursery
) -> None:
    """A beat within each bound is enough, and waiting may last for ever."""

    async def run(progress: Progress) -> None:
        for _ in range(20):
            progress.beat()
            await trio.sleep(9)
        progress.waiting("work")
        await trio.sleep(1000)
        progress.beat()
        await trio.sleep(9)

    await nursery.start(supervisor.run)
    nursery.start_soon(lambda: supervisor.supervise("slow", run, bound=10))
    await trio.sleep(1300)
    assert restarts(metrics, "slow") == 0
    assert supervisor.status() == {"slow": "ended"}
    assert supervisor.healthy
    nursery.cancel_scope.cancel()


async def test_a_service_stuck_each_time_is_given_up(
    autojump_clock: MockClock, supervisor: Supervisor, nursery: trio.Nursery
) -> None:
    """Though stuck for longer than the window each time, it spends its budget in the end."""

    async def run(_: Progress) -> None:
        await trio.sleep_forever()

    await nursery.start(supervisor.run)
    nursery.start_soon(lambda: supervisor.supervise("hopeless", run, bound=60))
    await trio.sleep(1000)
    assert supervisor.failing() == ["hopeless"]
    nursery.cancel_scope.cancel()


async def test_a_service_that_does_not_end_is_down_until_it_does(
    autojump_clock: MockClock, supervisor: Supervisor, metrics: Metrics, nursery: trio.Nursery
) -> None:
    """Stuck behind a shield, it turns readiness red at once; once it ended it runs again."""
    starts = 0

    async def run(progress: Progress) -> None:
        nonlocal starts
        starts += 1
        if starts == 1:
            with trio.CancelScope(shield=True):
                await trio.sleep(100)
            await trio.lowlevel.checkpoint()
        progress.waiting()
        await trio.sleep_forever()

    await nursery.start(supervisor.run)
    nursery.start_soon(lambda: supervisor.supervise("shielded", run, bound=10))
    await trio.sleep(50)
    assert supervisor.status() == {"shielded": "down: stuck, and does not end"}
    await trio.sleep(60)
    assert supervisor.status() == {"shielded": "waiting: work"}
    assert supervisor.healthy
    nursery.cancel_scope.cancel()


async def test_a_blocked_loop_is_not_the_services_fault(
    supervisor: Supervisor, metrics: Metrics, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """When the loop stood still for a minute nobody is restarted; the lag is measured."""

    async def run(progress: Progress) -> None:
        while True:
            progress.beat()
            await trio.sleep(1)

    await nursery.start(supervisor.run)
    nursery.start_soon(lambda: supervisor.supervise("innocent", run, bound=10))
    await trio.sleep(5.1)
    autojump_clock.jump(60)
    await trio.sleep(5)
    assert restarts(metrics, "innocent") == 0
    assert (
        metrics.registry.get_sample_value("tocsin_loop_lag_seconds_bucket", {"le": "10.0"})
        == (metrics.registry.get_sample_value("tocsin_loop_lag_seconds_count") or 0) - 1
    )
    nursery.cancel_scope.cancel()


async def test_a_crash_inside_a_nursery_is_one_crash(
    autojump_clock: MockClock, supervisor: Supervisor, metrics: Metrics, nursery: trio.Nursery
) -> None:
    """Exception groups are crashes like others."""

    async def run(progress: Progress) -> None:
        async with trio.open_nursery() as inner:
            inner.start_soon(trio.sleep_forever)
            if restarts(metrics, "grouped") == 0:
                raise RuntimeError
            progress.ready()

    with capture_logs() as logs:
        await nursery.start(
            lambda task_status: supervisor.supervise("grouped", run, task_status=task_status)
        )
    assert restarts(metrics, "grouped") == 1
    assert "ExceptionGroup" in logs[0]["exception"]
    nursery.cancel_scope.cancel()


async def test_cancellation_passes_and_a_crash_while_stopping_is_logged(
    autojump_clock: MockClock,
    supervisor: Supervisor,
) -> None:
    """Stopping is not a crash; what crashes while it stops ends neither the drain nor silently."""

    async def crash_at_the_end() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise RuntimeError

    async def run(_: Progress) -> None:
        async with trio.open_nursery() as inner:
            inner.start_soon(crash_at_the_end)
            inner.start_soon(trio.sleep_forever)

    with capture_logs() as logs, trio.move_on_after(5) as scope:
        await supervisor.supervise("stopping", run)
    assert scope.cancelled_caught
    assert [log["event"] for log in logs] == ["service.crashed"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_what_is_no_error_passes(
    autojump_clock: MockClock, supervisor: Supervisor, error: type[BaseException]
) -> None:
    """Ctrl-C and exit are not crashes of the service they happen to hit."""
    with pytest.raises(error):
        await supervisor.supervise("interrupted", Flaky(1, error).run)


async def test_a_refusal_to_start_ends_the_daemon(
    autojump_clock: MockClock, supervisor: Supervisor
) -> None:
    """StartupError out of the first run is passed on as it is, also out of a nursery."""

    async def run(_: Progress) -> None:
        async with trio.open_nursery():
            raise StartupError("the store is of a later version")

    with pytest.raises(StartupError, match="the store is of a later version"):
        await supervisor.supervise("store", run)


async def test_a_refusal_to_start_later_is_a_crash(
    autojump_clock: MockClock, supervisor: Supervisor, nursery: trio.Nursery
) -> None:
    """The same error after a restart does not end a daemon that serves."""
    errors = iter([RuntimeError(), StartupError("disk gone")])
    service = Flaky(crashes=2, error=lambda: next(errors))
    nursery.start_soon(supervisor.supervise, "store", service.run)
    await trio.sleep(10)
    assert supervisor.status() == {"store": "waiting: nothing"}
    nursery.cancel_scope.cancel()


async def test_what_never_becomes_ready_does_not_hold_up_the_start(
    autojump_clock: MockClock, supervisor: Supervisor, nursery: trio.Nursery
) -> None:
    """An owner that waits for a service that crashes again and again gets a StartupError."""
    with pytest.raises(StartupError, match="doomed does not start"):
        await nursery.start(
            lambda task_status: supervisor.supervise(
                "doomed", Flaky(crashes=100).run, task_status=task_status
            )
        )


async def test_a_name_is_taken_while_its_service_lives(
    autojump_clock: MockClock, supervisor: Supervisor, nursery: trio.Nursery
) -> None:
    """Two services of one name are a bug; the name of an ended one is free."""
    async with trio.open_nursery() as inner:
        inner.start_soon(supervisor.supervise, "one", Flaky(0).run)
        await trio.sleep(1)
        with pytest.raises(ValueError, match="one is supervised already"):
            await supervisor.supervise("one", Flaky(0).run)
        inner.cancel_scope.cancel()
    nursery.start_soon(supervisor.supervise, "one", Flaky(0).run)
    await trio.sleep(1)
    assert supervisor.status() == {"one": "waiting: nothing"}
    nursery.cancel_scope.cancel()


async def test_chores_run_on_schedule_and_a_crash_disturbs_no_other(
    autojump_clock: MockClock, supervisor: Supervisor, metrics: Metrics, nursery: trio.Nursery
) -> None:
    """Each chore has its own schedule; one that raises is logged, counted, and called again."""
    calls: list[float] = []

    def broken() -> None:
        raise RuntimeError

    supervisor.every(2, broken, name="broken")
    supervisor.every(0.1, lambda: calls.append(trio.current_time()), name="sweep")
    with capture_logs() as logs:
        await nursery.start(supervisor.run)
        start = trio.current_time()
        await trio.sleep(10.05)
    assert [call - start for call in calls] == pytest.approx([n / 10 for n in range(1, 101)])
    assert restarts(metrics, "broken") == 5
    assert len(logs) == 5
    assert supervisor.healthy
    nursery.cancel_scope.cancel()


async def test_last_progress_is_exported_as_epoch_seconds(
    autojump_clock: MockClock, supervisor: Supervisor, metrics: Metrics, nursery: trio.Nursery
) -> None:
    """The gauge says when a task last moved, in the daemon's own time."""

    async def run(progress: Progress) -> None:
        progress.beat()
        await trio.sleep_forever()

    await nursery.start(supervisor.run)
    nursery.start_soon(supervisor.supervise, "quiet", run)
    await trio.sleep(100)
    metrics.refresh()
    name = "tocsin_task_last_progress_timestamp_seconds"
    assert metrics.registry.get_sample_value(name, {"task": "quiet"}) == pytest.approx(900, abs=0.5)
    nursery.cancel_scope.cancel()
