"""A SockJS session's surroundings in memory: application, receivers, time."""

import heapq
import json
from collections.abc import Callable
from itertools import count
from typing import Any

import attrs

from tocsin.server.sockjs.application import Connection
from tocsin.server.sockjs.session import Session, SessionContext


@attrs.define
class Settings:
    """The delays and bounds of section 10."""

    heartbeat_delay: float = 25.0
    disconnect_delay: float = 5.0
    prove_within: float = 0.0
    outbox_bytes: int = 1_048_576
    outbox_messages: int = 1000
    inbox_bytes: int = 1_048_576
    inbox_messages: int = 256


class Clock:
    """Time that moves when told, and calls what was scheduled at its very moment."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._entries: list[tuple[float, int, Any]] = []
        self._order = count()

    def __call__(self) -> float:
        return self.now

    def __len__(self) -> int:
        return len(self._entries)

    def schedule(self, one: Session, at: float) -> None:
        """As `Wheel.add`, without its quarter of a second."""
        heapq.heappush(self._entries, (at, next(self._order), one))

    def advance(self, seconds: float) -> None:
        """Let time pass, everything due in its turn."""
        until = self.now + seconds
        while self._entries and self._entries[0][0] <= until:
            at, _, one = heapq.heappop(self._entries)
            self.now = max(self.now, at)
            again = one.tick(self.now)
            if again is not None:
                self.schedule(one, again)
        self.now = until


Reaction = Callable[[Connection, str], object]


@attrs.define(eq=False)
class Recorder:
    """An application that notes what it is told, and does as the test says."""

    events: list[tuple[Any, ...]] = attrs.field(factory=list)
    on_opened: Callable[[Connection], object] = lambda _connection: None
    on_received: Reaction = lambda _connection, _message: None
    on_drained: Callable[[Connection], object] = lambda _connection: None
    on_proven: Callable[[Connection], object] = lambda _connection: None

    def opened(self, connection: Connection) -> None:
        self.events.append(("opened",))
        self.on_opened(connection)

    def received(self, connection: Connection, message: str) -> None:
        self.events.append(("received", message))
        self.on_received(connection, message)

    def proven(self, connection: Connection, count: int) -> None:
        self.events.append(("proven", count))
        self.on_proven(connection)

    def drained(self, connection: Connection) -> None:
        self.events.append(("drained",))
        self.on_drained(connection)

    def closed(self, connection: Connection, code: int) -> None:
        self.events.append(("closed", code))

    def of(self, name: str) -> list[Any]:
        """What the calls of one name said."""
        return [event[1] if event[1:] else None for event in self.events if event[0] == name]


@attrs.define(eq=False)
class Response:
    """A receiver in memory; it tells the session `ended` as soon as it can, unless `is_late`."""

    session: Session
    limit: float = float("inf")
    transport: str = "xhr-streaming"
    is_late: bool = False
    clock: Callable[[], float] = lambda: 0.0
    frames: list[str] = attrs.field(factory=list)
    times: list[float] = attrs.field(factory=list)
    size: int = 0
    finished_at: float | None = None
    blocked_since: float | None = None
    is_ended: bool = False
    is_aborted: bool = False

    def write(self, frame: bytes) -> bool:
        assert not self.is_ended
        self.frames.append(frame.decode("ascii"))
        self.times.append(self.clock())
        self.size += len(frame)
        if self.size < self.limit:
            return True
        self.end()
        return False

    def end(self) -> None:
        assert not self.is_ended
        self.is_ended = True
        if not self.is_late:
            self._finish()

    def abort(self) -> None:
        self.is_aborted = True

    def block(self) -> None:
        """Its peer reads nothing from now on."""
        self.blocked_since = self.clock()

    def unblock(self) -> None:
        """Its peer has read everything."""
        self.blocked_since = None
        self.session.drained(self)
        if self.is_ended and not self.is_late:
            self._finish()

    def finish(self) -> None:
        """The late end has come."""
        self.is_late = False
        self._finish()

    def break_off(self) -> None:
        """Its connection is gone."""
        self.session.broken(self)

    def _finish(self) -> None:
        if self.blocked_since is None:
            self.finished_at = self.clock()
            self.session.ended(self)

    @property
    def messages(self) -> list[str]:
        """What its message frames carry."""
        return [one for frame in self.frames if frame[0] == "a" for one in json.loads(frame[1:])]


@attrs.define(eq=False)
class World:
    """One session of one client."""

    settings: Settings = attrs.field(factory=Settings)
    clock: Clock = attrs.field(factory=Clock)
    app: Recorder = attrs.field(factory=Recorder)
    gone: int = 0
    session: Session = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        context = SessionContext(
            application=self.app,
            settings=self.settings,
            now=self.clock,
            schedule=self.clock.schedule,
        )
        self.session = Session(context, key="token", principal="somebody", on_gone=self._on_gone)

    def _on_gone(self) -> None:
        self.gone += 1

    def poll(self, *, is_late: bool = False) -> Response:
        """A receiving request of a transport with one frame."""
        return self._attach(limit=1, transport="xhr-polling", is_late=is_late)

    def stream(self, *, limit: float = float("inf"), is_late: bool = False) -> Response:
        """A receiving request of a transport with many."""
        return self._attach(limit=limit, transport="xhr-streaming", is_late=is_late)

    def _attach(self, *, limit: float, transport: str, is_late: bool) -> Response:
        response = Response(
            self.session, limit=limit, transport=transport, is_late=is_late, clock=self.clock
        )
        self.session.attach(response)
        return response
