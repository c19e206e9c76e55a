"""Watching that every long-lived task makes progress (OP-10).

A service is an async function that runs for ever and reports through its `Progress`: `beat()`
when something moved, `waiting(reason)` when there is nothing to do. `supervise` runs it inside
whichever nursery its owner chose, so that nurseries still decide what stops before what.

  running -- crashed, or no beat within its bound --> restarting -- gap over --> running
  running -- returned --> ended
  restarting -- budget of restarts spent --> down for good; the others go on
  running -- cancelled for being stuck, does not end --> down until it ends after all

While anything is down the supervisor is not healthy: readiness turns red, and the watchdog of
the service manager is not to be fed.

One heartbeat task looks at all services every `TICK`, calls small synchronous chores when they
are due, and measures how late the event loop is. A look that is itself late is the loop's fault:
no bound counts that time.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs
import structlog
import trio

from tocsin.model.errors import StartupError
from tocsin.model.option import option
from tocsin.ops.log import traceback_text
from tocsin.ops.metrics import Metrics
from tocsin.ops.service import Progress, Service
from tocsin.ops.trace import task_trace

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge

TICK = 0.25
LONGEST_GAP = 30.0

Run = Callable[[Progress], Awaitable[object]]


@attrs.frozen
class SupervisorSettings:
    """`[supervisor]`"""

    restarts: int = option(
        5, "Restarts a part may need within the window; then it is given up.", minimum=0
    )
    window: float = option(60.0, "Seconds for which restarts count.", minimum=1, maximum=86_400)
    first_gap: float = option(
        0.5, "Seconds before the first restart; doubled each time.", minimum=0.01, maximum=30
    )


@attrs.define(eq=False)
class Chore:
    """A synchronous function called on schedule; `due` is Trio's time."""

    name: str
    seconds: float
    call: Callable[[], object]
    due: float


@attrs.define
class Fence:
    """What was kept from getting out."""

    crash: Exception | None = None


class Supervisor:
    """Runs services and chores, and knows how they are.

    `now` gives epoch milliseconds, for the timestamps in metrics. Nothing happens before `run`
    and `supervise` are started.
    """

    def __init__(
        self, settings: SupervisorSettings, *, metrics: Metrics, now: Callable[[], int]
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._now = now
        self._log = structlog.get_logger()
        self._services: dict[str, Service] = {}
        self._chores: list[Chore] = []
        self._series: dict[str, tuple[Gauge, Counter]] = {}

    @property
    def healthy(self) -> bool:
        """Whether nothing is down."""
        return not self.failing()

    def failing(self) -> list[str]:
        """The names of what is down."""
        return [service.name for service in self._services.values() if service.fault is not None]

    def status(self) -> dict[str, str]:
        """The state of each service in a few words, by name."""
        return {service.name: service.describe() for service in self._services.values()}

    def every(self, seconds: float, chore: Callable[[], object], *, name: str = "") -> None:
        """Call a quick synchronous function on schedule, once `run` has started.

        If it raises, that is logged and counted, and it is called again when next due. Calls
        that were missed are not made up for.
        """
        known = name or getattr(chore, "__qualname__", "chore")
        self._series[known] = self._metrics.watch_task(known)
        self._chores.append(Chore(known, seconds, chore, due=0.0))

    async def supervise(
        self,
        name: str,
        run: Run,
        *,
        bound: float | None = None,
        task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run a service, again after each crash, until it returns or this is cancelled.

        `bound` is the longest time in seconds it may go without a beat while it does not wait;
        None if it cannot be told. `nursery.start` on this returns when the service calls
        `progress.ready`. A StartupError out of the first run is passed on: the daemon cannot
        start. A service that is given up keeps this waiting, so that others are not touched;
        if it was never ready and its owner waits for that, StartupError.
        """

        def started(value: object) -> None:
            task_status.started(value)

        service = self._enlist(Service(name, bound, Progress(started)))
        awaited = task_status is not trio.TASK_STATUS_IGNORED
        try:
            while await self._run_once(service, run):
                gap = self._next_gap(service)
                if gap is None:
                    await self._give_up(service, awaited=awaited)
                else:
                    await trio.sleep(gap)
                self._series[name][1].inc()
        finally:
            service.ended = True

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The heartbeat: look at services, call chores, measure the loop. Never returns."""
        self._metrics.sample(self._export)
        now = trio.current_time()
        look = now + TICK
        for chore in self._chores:
            chore.due = now + chore.seconds
        task_status.started()
        while True:
            due = min([look, *(chore.due for chore in self._chores)])
            await trio.sleep_until(due)
            now = trio.current_time()
            self._metrics.loop_lag.observe(now - due)
            if now >= look:
                self._watch(now, late=now - look)
                look = now + TICK
            self._do_chores(now)

    def _enlist(self, service: Service) -> Service:
        predecessor = self._services.get(service.name)
        if predecessor is not None and not predecessor.ended:
            raise ValueError(f"{service.name} is supervised already")
        self._services[service.name] = service
        self._series[service.name] = self._metrics.watch_task(service.name)
        return service

    async def _run_once(self, service: Service, run: Run) -> bool:
        """Whether it failed: it crashed, or had to be cancelled."""
        first = not service.failures
        with self._fence(service.name) as fence, trio.CancelScope() as scope:
            service.begin(scope, trio.current_time())
            try:
                await run(service.progress)
            finally:
                service.end()
        if first and (refusal := _startup_error(fence.crash)) is not None:
            raise refusal
        return fence.crash is not None or scope.cancel_called

    @contextmanager
    def _fence(self, name: str) -> Iterator[Fence]:
        """Keeps a crash of one service or chore from the others; cancellation passes."""
        fence = Fence()
        try:
            yield fence
        except* Exception as crashes:  # noqa: BLE001 - the fence around one supervised service
            fence.crash = _unwrapped(crashes)
            self._log.error("service.crashed", service=name, exception=traceback_text(fence.crash))

    def _next_gap(self, service: Service) -> float | None:
        """Seconds until it is started again, or None if its budget is spent."""
        settings = self._settings
        window = max(settings.window, 2 * settings.restarts * (service.bound or 0.0))
        failures = service.count_failure(trio.current_time(), window)
        if failures > settings.restarts:
            return None
        gap: float = min(LONGEST_GAP, settings.first_gap * 2.0 ** min(failures - 1, 32))
        self._log.warning("service.restarting", service=service.name, failures=failures, gap=gap)
        return gap

    async def _give_up(self, service: Service, *, awaited: bool) -> None:
        service.fault = "gave up after too many restarts"
        self._log.error("service.given_up", service=service.name, failures=len(service.failures))
        if awaited and not service.progress.was_ready:
            raise StartupError(f"{service.name} does not start")
        await trio.sleep_forever()

    def _watch(self, now: float, late: float) -> None:
        for service in self._services.values():
            service.observe(now, late)
            if service.overdue(now):
                self._unstick(service, now)

    def _unstick(self, service: Service, now: float) -> None:
        """Cancel what is stuck; what is stuck even so is down."""
        if service.scope is None or service.task is None or service.fault is not None:
            return
        log = self._log.bind(service=service.name, trace=task_trace(service.task))
        if service.scope.cancel_called:
            service.fault = "stuck, and does not end"
            log.error("service.unstoppable")
            return
        log.error("service.stuck", bound=service.bound)
        service.scope.cancel()
        service.moved_at = now

    def _do_chores(self, now: float) -> None:
        for chore in self._chores:
            if now < chore.due:
                continue
            chore.due = now + chore.seconds
            progress, failures = self._series[chore.name]
            with self._fence(chore.name) as fence:
                chore.call()
                progress.set(self._now() / 1000)
            if fence.crash is not None:
                failures.inc()

    def _export(self) -> None:
        """Set the gauges of last progress, right before an exposition."""
        now, epoch = trio.current_time(), self._now() / 1000
        for service in self._services.values():
            self._series[service.name][0].set(epoch - (now - service.moved_at))


def _unwrapped(crashes: ExceptionGroup[Exception]) -> Exception:
    """`except*` puts a lone exception into a nameless group; this is what was raised."""
    lone = len(crashes.exceptions) == 1 and not crashes.message
    return crashes.exceptions[0] if lone else crashes


def _startup_error(crash: Exception | None) -> StartupError | None:
    """The first refusal to start in a crash, however deep its nurseries."""
    if isinstance(crash, ExceptionGroup):
        return next(filter(None, map(_startup_error, crash.exceptions)), None)
    return crash if isinstance(crash, StartupError) else None
