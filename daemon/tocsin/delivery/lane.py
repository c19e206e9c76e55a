"""One far side that shares a fate: what is held for it, how busy it is, what blocks it."""

import attrs

from tocsin.delivery.breaker import Breaker, State
from tocsin.delivery.followers import Followers
from tocsin.delivery.gates import LaneGates
from tocsin.delivery.hold import Hold
from tocsin.delivery.lanememory import Remembered
from tocsin.model.outcome import Deferred, Delivered, Outcome, Word

REMEMBERED = 60_000
LONGEST_WAIT = 86_400.0
SUCCESSES_PER_STEP = 10
NOTHING = (0, 0)


@attrs.define(eq=False)
class Lane:
    """The state of one lane; the queue acts on it.

    `full_width` is how many attempts it may have under way, `width` how many now: each answer
    that asks for it halves that, ten successes give one back (PU-81). `due_at` is when the store
    next has something for it (epoch ms, None: nothing), `urgent_at` something urgent; while
    `claiming`, what was heard since the claim began; `mark` tells claims apart. `blocked` is the
    reason it was last seen blocked for, `told` the one an operator was told (see `blocking`).
    So many attempts as are `kept` may be under way beyond the width, for urgent ones alone: those
    do not wait until others are answered (PU-36).
    """

    name: str
    full_width: int
    window: int
    gates: LaneGates | None = None
    kept: int = 0
    due_at: int | None = None
    urgent_at: int | None = None
    claiming: bool = False
    mark: int = 0
    workers: int = 0
    paused: bool = False
    blocked: str | None = None
    told: str | None = None
    quiet_until: int = 0
    breaker: Breaker = attrs.field(factory=Breaker)
    hold: Hold = attrs.field(factory=Hold)
    followers: Followers = attrs.field(factory=Followers)
    width: int = attrs.field(default=attrs.Factory(lambda self: self.full_width, takes_self=True))
    _seeks_urgent: bool = False
    _successes: int = 0
    _throttled_at: int = 0
    _waits_until: int = 0

    # -- what blocks it ----------------------------------------------------------------------

    def most(self, now: int) -> int:
        """How many attempts it may have under way now."""
        if self.paused:
            return 0
        most = self.breaker.most(self.width, now)
        return most if self.gates is None or not most else self.gates.most(most, now)

    def stopped(self, now: int) -> str | None:
        """Why nothing is attempted, but perhaps a probe; or None."""
        if self.paused:
            return "paused"
        reason = None if self.gates is None else self.gates.reason(now)
        if reason is None and self.breaker.state is not State.CLOSED:
            return "breaker"
        return reason

    def reason(self, now: int) -> str | None:
        """Why less is attempted than could be, or None (`ops.metrics.BLOCKED`)."""
        stopped = self.stopped(now)
        if stopped is None and (self.width < self.full_width or now < self._waits_until):
            return "throttled"
        return stopped

    @property
    def is_calm(self) -> bool:
        """Nothing blocks it, and nobody thinks so: the usual case, quickly seen. What its gates
        do is told by them."""
        return (
            self.breaker.state is State.CLOSED
            and self.width == self.full_width
            and not (self.blocked or self.told or self._waits_until or self.paused)
        )

    def learn(self, outcome: Outcome, *, era: int, now: int) -> None:
        """Take in what became of an attempt that began in the breaker's `era`."""
        if outcome.words:
            self._note_words(outcome, now)
        if isinstance(outcome, Delivered):
            self._waits_until = 0
            if self.width < self.full_width and Word.THROTTLE not in outcome.words:
                self._widen()
        self.breaker.note(outcome.sign, era=era, now=now)

    def resize(self, full_width: int, window: int, kept: int) -> None:
        """Another width; one that is throttled is so no less."""
        is_throttled = self.width < self.full_width
        self.full_width, self.window, self.kept = full_width, window, kept
        self.width = min(self.width, full_width) if is_throttled else full_width

    def unblock(self) -> bool:
        """An operator's word: begin anew, whatever was known; False if nothing blocked it."""
        was_blocked = self.blocked is not None
        self.paused = False
        self.breaker = Breaker(era=self.breaker.era + 1)
        self.width = self.full_width
        self._successes = self._throttled_at = self._waits_until = 0
        return was_blocked

    def next_look(self, now: int) -> int | None:
        """When there will be something to do with it that nobody announces; None: never."""
        times = [self.forgettable_at, self._waits_until, self.quiet_until]
        times += [at for at in (self.due_at, self.urgent_at) if at is not None]
        if self.breaker.state is State.OPEN:
            times.append(self.breaker.until)
        if self.gates is not None:
            times += self.gates.next_look()
        return min((at for at in times if at > now), default=None)

    def _note_words(self, outcome: Outcome, now: int) -> None:
        if Word.THROTTLE in outcome.words:
            self.width = max(1, self.width // 2)
            self._successes = 0
            self._throttled_at = now
        if Word.HOLD in outcome.words and isinstance(outcome, Deferred):
            seconds = min(outcome.retry_after or 0.0, LONGEST_WAIT)
            self._waits_until = max(self._waits_until, now + int(seconds * 1000))

    def _widen(self) -> None:
        self._successes += 1
        if self._successes >= SUCCESSES_PER_STEP:
            self._successes = 0
            self.width += 1

    # -- what is remembered beyond the end of the process ------------------------------------

    @property
    def to_remember(self) -> Remembered | None:
        """An operator's pause, or an open breaker."""
        is_closed = self.breaker.state is State.CLOSED
        if is_closed and not self.paused:
            return None
        until, rest = (0, 0) if is_closed else (self.breaker.until, self.breaker.rest)
        return Remembered(self.paused, until, rest)

    def recall(self, remembered: Remembered, now: int) -> None:
        """As it was when an earlier process ended."""
        self.paused = remembered.paused
        if remembered.until:
            self.breaker = Breaker.opened(remembered.until, remembered.rest, now=now)

    # -- work --------------------------------------------------------------------------------

    def note_due(self, due_at: int | None, urgent_at: int | None = None) -> bool:
        """Something is due then, and something urgent; True if that is sooner than was known."""
        is_sooner = False
        if due_at is not None and (self.due_at is None or due_at < self.due_at):
            self.due_at, is_sooner = due_at, True
        if urgent_at is not None and (self.urgent_at is None or urgent_at < self.urgent_at):
            self.urgent_at, is_sooner = urgent_at, True
        return is_sooner

    def wants(self, now: int) -> tuple[int, int]:
        """How many deliveries to claim now, and how many more if they are urgent: those have a
        second window. None while a claim is under way, nothing is due, or it is blocked."""
        if self.claiming or self.due_at is None or self.due_at > now:
            return NOTHING
        most = self.most(now)
        if not most:
            return NOTHING
        if self.is_probed:
            return NOTHING if self.in_hand else (most, 0)
        held, urgent = len(self.hold), self.hold.urgent
        is_urgent = self.urgent_at is not None and self.urgent_at <= now
        return (
            max(0, self.window - held) if held < self.width else 0,
            max(0, self.window - urgent) if is_urgent and urgent < self.width else 0,
        )

    def begin_claim(self, lease: int) -> None:
        """What is due is being claimed, until `lease`; what is heard from now on may not be seen
        by that."""
        self.claiming = True
        self._seeks_urgent = self.urgent_at is not None
        self.mark = max(lease, self.mark + 1)
        self.due_at = self.urgent_at = None
        if self.gates is not None:
            self.gates.begin_probe()

    def is_low(self, now: int) -> bool:
        """There is more in the store, and soon too little in hand."""
        if self.due_at is None or self.claiming:
            return False
        if len(self.hold) < self.width:
            return self.due_at <= now
        at = self.urgent_at
        return at is not None and at <= now and self.hold.urgent < self.width

    def has_urgent(self, now: int) -> bool:
        """Something urgent is held or due."""
        return self.hold.urgent > 0 or (self.urgent_at is not None and self.urgent_at <= now)

    def awaits_urgent(self, now: int) -> bool:
        """Something urgent that is not held yet is due, or being claimed."""
        if self.claiming and self._seeks_urgent:
            return True
        return self.urgent_at is not None and self.urgent_at <= now

    def reset(self) -> None:
        """Nothing is held or under way any more; what blocks it still does."""
        self.hold.clear()
        self.workers = 0
        self.claiming = False
        self.due_at = self.urgent_at = None

    def spare_workers(self, now: int) -> int:
        """How many more workers there is work and width for."""
        return min(self.most(now) - self.workers, len(self.hold))

    def spare_kept(self, now: int) -> int:
        """How many more there may be, whatever else is under way, for what is urgent."""
        if not self.kept or self.is_probed or not self.most(now):
            return 0
        return min(self.width + self.kept - self.workers, self.hold.urgent)

    @property
    def is_overfull(self) -> bool:
        """It has more workers than what is held next may have."""
        kept = self.kept if self.hold.next_is_urgent else 0
        return self.workers > self.width + kept

    @property
    def is_probed(self) -> bool:
        """One attempt at a time, to see whether it works again."""
        if self.breaker.state is not State.CLOSED:
            return True
        return self.gates is not None and self.gates.is_probed

    @property
    def in_hand(self) -> int:
        """How many deliveries it holds or attempts."""
        return len(self.hold) + self.workers

    @property
    def forgettable_at(self) -> int:
        """Before that, it knows something that a new one would not."""
        return max(self.breaker.forgettable_at, self._throttled_at + REMEMBERED)

    def is_idle(self, now: int) -> bool:
        """Nothing in hand, nothing in the store, nothing to remember."""
        if self.in_hand or self.claiming or self.due_at is not None or self.paused:
            return False
        is_shut = self.gates is not None and self.gates.reason(now) is not None
        return not is_shut and now >= self.forgettable_at
