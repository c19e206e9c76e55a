"""Looking again and again for what has become due in the store."""

from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog
import trio

from tocsin.model.errors import StoreError
from tocsin.ops.service import Progress

Sweep = Callable[[Callable[[], None]], Awaitable[None]]

log = structlog.get_logger()


async def keep_sweeping(
    sweep: Sweep, progress: Progress, *, every: float, on_failure: str
) -> NoReturn:
    """Call `sweep(beat)`, then rest for `every` seconds, until cancelled. A failing store is tried
    again; the log then has the event `on_failure`."""
    while True:
        progress.beat()
        try:
            await sweep(progress.beat)
        except StoreError as error:
            log.warning(on_failure, reason=str(error))
        progress.waiting("the next sweep")
        await trio.sleep(every)
