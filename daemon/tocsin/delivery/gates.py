"""What shuts a credential, or one app, for all lanes that use it (push.md, PU-53, PU-46, C.4).

    reason      begins with                             ends with
    oauth       no valid access token                   `open`
    key_paused  a provider that refuses the credential  `open`, or a probe that is delivered
    app_paused  a provider that refuses the app         a probe that is delivered
    quota       a project that is over its quota        its time

Nothing is attempted meanwhile, and nothing counts. Of what is paused one real delivery of any lane
probes after a minute; the next one a minute after that. An answer that concerns the delivery alone
says nothing about the credential: then the next one probes at once. Attempts that began
before a gate was shut or opened tell about the time before it.
"""

from collections.abc import Callable, Iterable

import attrs

from tocsin.delivery.events import Events
from tocsin.delivery.pushapps import AppRegistry
from tocsin.model.outcome import Deferred, Delivered, Outcome, Sign, Word
from tocsin.ops.metrics import Metrics

PROBE_EVERY = 60_000
QUOTA_PAUSE = 60.0
LONGEST_QUOTA = 86_400.0
KEY_PAUSED, APP_PAUSED, QUOTA = "key_paused", "app_paused", "quota"


@attrs.define(eq=False)
class Gate:
    """A credential, by its `key` name and provider, or an app. Times are epoch milliseconds.

    `word` is the reason while it is `paused`, `closed` the one it was shut for from outside.
    `prober` is the lane that probes; nobody does before `probe_at`. Each pause and its end begin a
    new `era`.
    """

    word: str
    key: str | None = None
    provider: str | None = None
    closed: str | None = None
    paused: bool = False
    quota_until: int = 0
    probe_at: int = 0
    prober: str | None = None
    era: int = 0

    @property
    def is_shut(self) -> bool:
        """Until something happens, not just for a time."""
        return self.paused or self.closed is not None

    def reason(self, now: int) -> str | None:
        """Why it is shut, or None."""
        if self.closed is not None:
            return self.closed
        if self.paused:
            return self.word
        return QUOTA if now < self.quota_until else None

    def most(self, lane: str, width: int, now: int) -> int:
        """How many attempts of a lane it lets through, of `width`."""
        if self.closed is not None or now < self.quota_until:
            return 0
        if not self.paused:
            return width
        is_free = self.prober == lane or (self.prober is None and now >= self.probe_at)
        return min(width, 1) if is_free else 0

    def pause(self, now: int) -> None:
        """Shut it, or leave it shut, until a probe is delivered."""
        if not self.paused:
            self.paused = True
            self.era += 1
        self.prober, self.probe_at = None, now + PROBE_EVERY

    def open(self) -> None:
        """Nothing is known against it any more."""
        if self.paused:
            self.era += 1
        self.closed, self.prober, self.paused = None, None, False


@attrs.define(eq=False)
class LaneGates:
    """The two gates of one lane: its app's credential, and the app itself."""

    lane: str
    key: Gate
    app: Gate

    @property
    def eras(self) -> tuple[int, int]:
        """What an attempt that begins now belongs to."""
        return self.key.era, self.app.era

    @property
    def is_probed(self) -> bool:
        """One at a time, if any."""
        return self.key.paused or self.app.paused

    def reason(self, now: int) -> str | None:
        """Why nothing is attempted, or None (`ops.metrics.BLOCKED`)."""
        return self.key.reason(now) or self.app.reason(now)

    def most(self, width: int, now: int) -> int:
        """How many attempts the lane may have under way, of those that its width allows."""
        return self.app.most(self.lane, self.key.most(self.lane, width, now), now)

    def next_look(self) -> list[int]:
        """When that may be different."""
        gates = (self.key, self.app)
        return [self.key.quota_until] + [one.probe_at for one in gates if one.paused]

    def begin_probe(self) -> None:
        """This lane has the next attempt, where only one is let through."""
        for gate in (self.key, self.app):
            if gate.paused:
                gate.prober = self.lane

    def probing(self) -> list[Gate]:
        """Of what it has the probe."""
        return [gate for gate in (self.key, self.app) if gate.prober == self.lane]


class Gates:
    """All credentials and apps. Nothing here waits.

    `on_changed`, set by the queue, is told of every lane for which something is different now.
    """

    def __init__(
        self,
        registry: AppRegistry,
        *,
        events: Events,
        metrics: Metrics,
        clock: Callable[[], int],
    ) -> None:
        self._registry = registry
        self._events = events
        self._metrics = metrics
        self._clock = clock
        self._keys: dict[str, Gate] = {}
        self._lanes: dict[str, LaneGates] = {}
        self.on_changed: Callable[[str], None] = lambda _lane: None

    def of(self, lane: str) -> LaneGates | None:
        """The gates of a lane, `provider/app`; None if that is no registered app."""
        found = self._lanes.get(lane)
        if found is None:
            provider, _, app_id = lane.partition("/")
            app = self._registry.find(app_id, provider)
            if app is None:
                return None
            found = self._lanes[lane] = LaneGates(lane, self._key(app.key), Gate(APP_PAUSED))
        return found

    def note(self, key: str, reason: str | None) -> None:
        """What the keeper of a credential says of it: `oauth`, `key_paused`, or None: it works."""
        if reason is None:
            self.open(key)
        else:
            self.close(key, reason)

    def close(self, key: str, reason: str) -> None:
        """Attempt nothing with this credential: `key_paused` is probed, all else lasts until
        `open`."""
        gate = self._key(key)
        if reason == KEY_PAUSED:
            self._pause(gate, reason)
        elif gate.closed != reason:
            was_shut, gate.closed = gate.is_shut, reason
            self._changed(gate, was_shut=was_shut, reason=reason)

    def open(self, key: str) -> None:
        """The credential works, or is another one now; only a quota still holds."""
        gate = self._keys.get(key)
        if gate is not None and gate.is_shut:
            self._open(gate, gate.closed or gate.word)

    def learn(self, lane: LaneGates, outcome: Outcome, eras: tuple[int, int]) -> None:
        """Take in what became of an attempt that began in these `eras`."""
        words = outcome.words
        if not (words or lane.is_probed):
            return
        if Word.PAUSE_QUOTA in words and isinstance(outcome, Deferred):
            self._exhaust(lane.key, outcome.retry_after)
        if eras[0] == lane.key.era:
            self._judge(lane.key, outcome, is_refused=Word.PAUSE_KEY in words)
        if eras[1] == lane.app.era:
            self._judge(lane.app, outcome, is_refused=Word.PAUSE_APP in words)

    def give_up_probe(self, lane: LaneGates) -> None:
        """The lane has nothing to probe with, after all: another may."""
        for gate in lane.probing():
            gate.prober = None
            self._changed(gate)

    def probe_now(self, lane: LaneGates) -> None:
        """An operator's word: the next delivery of any lane probes at once; no quota holds."""
        for gate in (lane.key, lane.app):
            gate.probe_at, gate.prober, gate.quota_until = self._clock(), None, 0
            self._changed(gate)

    def reload(self, registry: AppRegistry, keys: Iterable[str] | None = None) -> None:
        """There are other apps, or other credentials: those named, or all, are tried anew."""
        self._registry = registry
        known, self._lanes = self._lanes, {}
        for key in list(self._keys) if keys is None else keys:
            self._renew(key)
        for lane in known:
            self.on_changed(lane)

    # -- one gate ----------------------------------------------------------------------------

    def _key(self, name: str) -> Gate:
        gate = self._keys.get(name)
        if gate is None:
            gate = self._keys[name] = Gate(KEY_PAUSED, key=name, provider=self._provider_of(name))
        return gate

    def _provider_of(self, key: str) -> str | None:
        return next((app.provider for app in self._registry if app.key == key), None)

    def _renew(self, key: str) -> None:
        """Attempts that began with another credential say nothing about this one, and its quota is
        its own."""
        self.open(key)
        gate = self._keys.get(key)
        if gate is not None:
            gate.era += 1
            gate.quota_until = 0
            gate.provider = self._provider_of(key)

    def _judge(self, gate: Gate, outcome: Outcome, *, is_refused: bool) -> None:
        """What a probe, or an attempt through an open gate, says about it."""
        if is_refused:
            self._pause(gate, getattr(outcome, "reason", gate.word))
        elif not gate.paused:
            return
        elif isinstance(outcome, Delivered):
            self._open(gate, gate.word)
        else:
            is_its_own = isinstance(outcome, Deferred) and outcome.sign is not Sign.CONTACT
            gate.prober = None
            gate.probe_at = self._clock() + (PROBE_EVERY if is_its_own else 0)
            self._changed(gate)

    def _pause(self, gate: Gate, reason: str) -> None:
        was_shut = gate.is_shut
        gate.pause(self._clock())
        self._changed(gate, was_shut=was_shut, reason=reason)

    def _open(self, gate: Gate, reason: str) -> None:
        gate.open()
        self._changed(gate, was_shut=True, reason=reason)

    def _exhaust(self, gate: Gate, retry_after: float | None) -> None:
        seconds = min(QUOTA_PAUSE if retry_after is None else retry_after, LONGEST_QUOTA)
        gate.quota_until = max(gate.quota_until, self._clock() + int(seconds * 1000))
        self._changed(gate)

    def _changed(self, gate: Gate, *, was_shut: bool | None = None, reason: str = "") -> None:
        """Tell the lanes; and an operator, where a credential has begun or ceased to be shut."""
        if gate.key is not None and was_shut is not None and was_shut != gate.is_shut:
            self._metrics.push_keys_paused[gate.provider].inc(1 if gate.is_shut else -1)
            word = "paused" if gate.is_shut else "resumed"
            self._events.emit(f"push.key.{word}", key=gate.key, reason=reason)
        for lane in [one for one in self._lanes.values() if gate in (one.key, one.app)]:
            self.on_changed(lane.lane)
