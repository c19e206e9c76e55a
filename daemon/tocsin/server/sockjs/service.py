"""A SockJS service: a prefix, an application and options, on the daemon's own HTTP server.

What is asked of it is judged and answered request by request (`exchange`); here is what the
requests share: the sessions by id, how many there are, and how they end.
"""

from collections.abc import Callable, Sequence
from typing import Final

import attrs
import trio

from tocsin.model.errors import unavailable
from tocsin.ops.metrics import Metrics
from tocsin.server.engine import AnyEngine
from tocsin.server.heartbeat import Ticking
from tocsin.server.router import Route, Router
from tocsin.server.sockjs.application import Application
from tocsin.server.sockjs.exchange import Exchange
from tocsin.server.sockjs.framing import Framing
from tocsin.server.sockjs.guard import Guard
from tocsin.server.sockjs.receiver import STALLED
from tocsin.server.sockjs.session import Session, SessionContext
from tocsin.server.sockjs.settings import SockJsSettings
from tocsin.server.sockjs.websockets import SocketContext, WebSocketSession, link_limits
from tocsin.wire.request import Request
from tocsin.wire.sockjs.frames import SERVICE_RESTART

FULL_RETRY: Final = 30
DRAIN_RETRY: Final = 5


@attrs.frozen
class Surroundings:
    """What a service is given of the daemon.

    `schedule` has a session's `tick` called (the wheel's `add`); `clock` is epoch milliseconds,
    `now` Trio's time.
    """

    engine: AnyEngine
    schedule: Callable[[Ticking, float], None]
    metrics: Metrics
    clock: Callable[[], int]
    now: Callable[[], float] = trio.current_time


class Service:
    """One service.

    Without a `guard` everybody may use it. `allowed_origins` are those whose pages may; `*` is
    every one, the server's own always may (SJ-10). A client that has something to read and reads
    nothing for `stalled` seconds is sent away with 1013.
    """

    def __init__(
        self,
        prefix: str,
        application: Application,
        settings: SockJsSettings,
        surroundings: Surroundings,
        *,
        guard: Guard | None = None,
        allowed_origins: Sequence[str] = ("*",),
        stalled: float = STALLED,
    ) -> None:
        self.prefix = prefix
        self.settings = settings
        self.guard = guard
        self.allowed_origins = tuple(allowed_origins)
        self.transports = frozenset(settings.transports)
        self.engine = surroundings.engine
        self.metrics = surroundings.metrics
        self.clock = surroundings.clock
        self.limits = link_limits(settings)
        self._sessions: dict[str, Session] = {}
        self._sockets: set[WebSocketSession] = set()
        self._is_draining = False
        self._context = SessionContext(
            application=application,
            settings=settings,
            now=surroundings.now,
            schedule=surroundings.schedule,
            stalled=stalled,
        )
        self._socket_context = SocketContext(
            application=application,
            settings=settings,
            metrics=surroundings.metrics,
            now=surroundings.now,
            schedule=surroundings.schedule,
            stalled=stalled,
        )

    def add_routes(self, router: Router) -> None:
        """Take everything at and below the prefix."""
        router.mount(self.prefix, self._exchange)

    def shut(self) -> None:
        """Take no new session; those that are there go on until their application ends them."""
        self._is_draining = True

    def drain(self) -> None:
        """Take no new session; everybody is told 1012 and may be served elsewhere."""
        self.shut()
        for session in [*self._sessions.values()]:
            session.close(*SERVICE_RESTART)
        for one in [*self._sockets]:
            one.close(*SERVICE_RESTART)

    @property
    def sessions(self) -> int:
        """Sessions and WebSockets, those that are closing included."""
        return len(self._sessions) + len(self._sockets)

    # -- for its exchanges -------------------------------------------------------------------

    def session(self, name: str) -> Session | None:
        """The session of this id, closing ones included."""
        return self._sessions.get(name)

    def check_room(self) -> None:
        """Raise 503 if there may be no further session (SJ-30)."""
        if self._is_draining:
            raise unavailable("drain", retry_after=DRAIN_RETRY)
        if self.sessions >= self.settings.max_sessions:
            raise unavailable("full", retry_after=FULL_RETRY)

    def open_session(self, name: str, transport: str, *, key: object, principal: object) -> Session:
        """A new session; its first receiver opens it."""
        gauge = self.metrics.sockjs_sessions[transport]

        def gone() -> None:
            del self._sessions[name]
            gauge.dec()

        session = Session(self._context, key=key, principal=principal, on_gone=gone)
        self._sessions[name] = session
        gauge.inc()
        return session

    def open_socket(
        self, framing: Framing, *, principal: object, on_gone: Callable[[], None]
    ) -> WebSocketSession:
        """A new WebSocket, to be adopted by the engine at once; or `on_gone` by the caller."""
        gauge = self.metrics.sockjs_sessions[framing.transport]

        def gone() -> None:
            self._sockets.discard(socket)
            gauge.dec()
            on_gone()

        socket = WebSocketSession(self._socket_context, framing, principal=principal, on_gone=gone)
        self._sockets.add(socket)
        gauge.inc()
        return socket

    def _exchange(self, request: Request) -> Route:
        return Exchange(self, request).route()
