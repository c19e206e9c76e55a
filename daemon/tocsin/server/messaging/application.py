"""Messaging over SockJS and WebSockets: one `Conversant` for each connection."""

import random
from functools import partial

import structlog
import trio

from tocsin.ops.service import Progress
from tocsin.server.messaging.connection import Conversant, Job
from tocsin.server.messaging.world import World
from tocsin.server.sockjs.application import Connection
from tocsin.wire.sockjs.frames import INTERNAL_ERROR, SERVICE_RESTART, TRY_AGAIN_LATER

log = structlog.get_logger()


class MessagingApplication:
    """What a SockJS service calls; see `Application` there.

    Its tasks live in `run`: one for each connection that comes in, or has a message in hand.
    Without it nobody is let in.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._conversants: dict[Connection, Conversant] = {}
        self._nursery: trio.Nursery | None = None
        self._tasks = 0
        self._changed = trio.Event()

    def __len__(self) -> int:
        return len(self._conversants)

    async def run(self, progress: Progress) -> None:
        """Do what clients ask, until cancelled; what is in hand then is cut off."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            progress.ready()
            progress.waiting("messages of clients")
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None

    async def drain(self, window: float, *, rng: random.Random) -> None:
        """Close all connections 1012, spread over `window` seconds, each when the message in hand
        has been answered (MS-69). Before that, have the service shut its door. Cancelled, the rest
        stays open for the caller to cut off."""
        everybody = list(self._conversants.values())
        rng.shuffle(everybody)
        start, step = trio.current_time(), window / max(len(everybody), 1)
        for number, one in enumerate(everybody):
            await trio.sleep_until(start + step * (number + rng.random()))
            one.part(*SERVICE_RESTART)
        while self._tasks:
            self._changed = trio.Event()
            await self._changed.wait()

    # -- for SockJS ----------------------------------------------------------------------------

    def opened(self, connection: Connection) -> None:
        """See `Application`."""
        conversant = Conversant(self._world, connection, self._start)
        self._conversants[connection] = conversant
        conversant.opened()

    def received(self, connection: Connection, message: str) -> None:
        """See `Application`."""
        self._conversants[connection].received(message)

    def proven(self, connection: Connection, count: int) -> None:
        """See `Application`."""
        self._conversants[connection].proven(count)

    def drained(self, connection: Connection) -> None:
        """See `Application`."""
        self._conversants[connection].drained()

    def closed(self, connection: Connection, code: int) -> None:
        """See `Application`."""
        self._conversants.pop(connection).closed(code)

    # -- tasks ---------------------------------------------------------------------------------

    def _start(self, one: Conversant, job: Job) -> None:
        if self._nursery is None:
            one.give_up(*TRY_AGAIN_LATER)
            return
        self._tasks += 1
        self._nursery.start_soon(partial(self._fenced, one, job), name="messaging connection")

    async def _fenced(self, one: Conversant, job: Job) -> None:
        """One connection must not cost the others their tasks: a crash ends that one."""
        try:
            await job()
        except Exception:
            log.exception("messaging.connection_crashed", transport=one.transport)
            one.give_up(*INTERNAL_ERROR)
        finally:
            self._tasks -= 1
            self._changed.set()
