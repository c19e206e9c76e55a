"""One far side that shares a fate: what is held for it, how busy it is, what blocks it."""

import heapq

import attrs

from tocsin.delivery.breaker import Breaker, State
from tocsin.model.outcome import Delivered, Outcome, Word
from tocsin.store.records import Claimed

REMEMBERED = 60_000
SUCCESSES_PER_STEP = 10


@attrs.define(eq=False)
class Lane:
    """The state of one lane; the queue acts on it.

    `full_width` is how many attempts it may have under way, `width` how many now: each answer
    that asks for it halves that, ten successes give one back (PU-81). `due_at` is when the store
    next has something for it (epoch ms, None: nothing), `alarm` when the queue will look at it
    by itself. `claiming` is true while a claim is under way; `woken` and `heard` note what
    arrived meanwhile. `blocked` is the reason that was last told.
    """

    name: str
    full_width: int
    window: int
    due_at: int | None = None
    claiming: bool = False
    woken: bool = False
    heard: int | None = None
    urgent: bool = False
    workers: int = 0
    alarm: int | None = None
    paused: bool = False
    blocked: str | None = None
    breaker: Breaker = attrs.field(factory=Breaker)
    width: int = attrs.field(default=attrs.Factory(lambda self: self.full_width, takes_self=True))
    _successes: int = 0
    _throttled_until: int = 0
    _held: list[tuple[int, int, Claimed]] = attrs.field(factory=list)

    # -- what blocks it ----------------------------------------------------------------------

    def most(self, now: int) -> int:
        """How many attempts it may have under way now."""
        return 0 if self.paused else self.breaker.most(self.width, now)

    def reason(self, now: int) -> str | None:
        """Why less is attempted than could be, or None (`ops.metrics.BLOCKED`).

        `throttled` lasts a minute at least, so that a far side that says so now and then is one
        event and not a hundred.
        """
        if self.paused:
            return "paused"
        if self.breaker.state is not State.CLOSED:
            return "breaker"
        is_throttled = self.width < self.full_width or now < self._throttled_until
        return "throttled" if is_throttled else None

    def learn(self, outcome: Outcome, *, era: int, now: int) -> None:
        """Take in what became of an attempt that began in the breaker's `era`."""
        if Word.THROTTLE in outcome.words:
            self.width = max(1, self.width // 2)
            self._successes = 0
            self._throttled_until = now + REMEMBERED
        elif self.width < self.full_width and isinstance(outcome, Delivered):
            self._successes += 1
            if self._successes >= SUCCESSES_PER_STEP:
                self._successes = 0
                self.width += 1
        self.breaker.note(outcome.sign, era=era, now=now)

    def unblock(self) -> bool:
        """An operator's word: begin anew, whatever was known; False if nothing blocked it."""
        was_blocked = self.blocked is not None
        self.paused = False
        self.breaker = Breaker(era=self.breaker.era + 1)
        self.width = self.full_width
        self._successes = self._throttled_until = 0
        return was_blocked

    def next_look(self, now: int) -> int | None:
        """When there will be something to do with it that nobody announces; None: never."""
        times = [self.forgettable_at, self._throttled_until]
        if self.due_at is not None:
            times.append(self.due_at)
        if self.breaker.state is State.OPEN:
            times.append(self.breaker.until)
        return min((at for at in times if at > now), default=None)

    # -- what is held for it -----------------------------------------------------------------

    def wants(self, now: int) -> int:
        """How many deliveries to claim now; 0 while there is no room, nothing due, a claim under
        way, or it is blocked. For urgent ones there is room for a second window."""
        if self.claiming or self.due_at is None or self.due_at > now:
            return 0
        most = self.most(now)
        if not most or self.breaker.state is not State.CLOSED:
            return 0 if self._held or self.workers else most
        if self.urgent:
            room = self.window - len(self._held)
            return max(room, min(self.width, room + self.window), 0)
        return self.window - len(self._held) if len(self._held) < self.width else 0

    def hold(self, claimed: list[Claimed]) -> None:
        """Keep what was claimed, urgent first, then in the order of acceptance."""
        for one in claimed:
            heapq.heappush(self._held, (one.notification.priority, one.id, one))

    def take(self) -> Claimed | None:
        """The next delivery to attempt."""
        return heapq.heappop(self._held)[2] if self._held else None

    def release(self) -> list[Claimed]:
        """Everything held, to be put back."""
        held, self._held = self._held, []
        return [one for _, _, one in held]

    def reset(self) -> None:
        """Nothing is held or under way any more; what blocks it still does."""
        self._held = []
        self.workers = 0
        self.claiming = self.woken = self.urgent = False
        self.due_at = self.heard = self.alarm = None

    def spare_workers(self, now: int) -> int:
        """How many more workers there is work and width for."""
        return min(self.most(now) - self.workers, len(self._held))

    @property
    def held(self) -> int:
        """How many deliveries it holds."""
        return len(self._held)

    @property
    def forgettable_at(self) -> int:
        """Before that, it knows something that a new one would not."""
        return max(self.breaker.forgettable_at, self._throttled_until)

    def is_idle(self, now: int) -> bool:
        """Nothing held, nothing under way, nothing in the store, nothing to remember."""
        is_busy = self._held or self.workers or self.claiming or self.due_at is not None
        return not (is_busy or self.paused or now < self.forgettable_at)
