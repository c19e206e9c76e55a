"""Device tokens that are gone: when to believe it, and what goes with them (push.md, C.5).

What a provider says of a token is believed with care: of an app that has never been pushed to with
success, or of many tokens at once, it may say so because the mistake is ours (`removalguard`).
What was believed too early is brought back when the guard trips, or by an operator.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence

import attrs
import structlog
import trio

from tocsin.delivery.alarms import Alarms, Emit
from tocsin.delivery.directory import Directory
from tocsin.delivery.endings import Ending, Endings
from tocsin.delivery.pushapps import AppRegistry, PushSettings
from tocsin.delivery.removalguard import WINDOW, Answer, Change, RemovalGuard
from tocsin.model.channel import Channel, Device
from tocsin.model.gatewayuser import is_reserved
from tocsin.model.outcome import Deferred, Delivered, Gone, Outcome, Refused, Sign, Word
from tocsin.ops.metrics import Metrics
from tocsin.store.interface import Store
from tocsin.store.records import Ended, Removal

DAY = 86_400_000
MOST_TOMBSTONES = 100_000
MOST_STALE = 3
SLICE = 200
PROVEN, GUARDS = "push.proven", "push.guards"
UNPROVEN, GUARDED = "unproven_app", "removal_guard"
DOUBTS = frozenset({UNPROVEN, GUARDED})
"""Why a push was refused although the provider said that its token is gone."""

log = structlog.get_logger()


@attrs.define(eq=False)
class _Watched:
    """One app, as it is configured now (`fingerprint`); `is_proven`: it has been pushed to with
    success like that."""

    fingerprint: bytes
    is_proven: bool
    guard: RemovalGuard


class Devices:
    """Judges what providers say of tokens, removes what is gone, and restores it.

    Full, the oldest tombstones are forgotten: the provider is asked again then.
    """

    def __init__(
        self,
        store: Store,
        directory: Directory,
        registry: AppRegistry,
        settings: PushSettings,
        endings: Endings,
        *,
        metrics: Metrics,
        clock: Callable[[], int],
        emit: Emit,
    ) -> None:
        """Knows nothing of earlier runs before `load`."""
        self._store = store
        self._directory = directory
        self._registry = registry
        self._settings = settings
        self._endings = endings
        self._metrics = metrics
        self._clock = clock
        self._emit = emit
        self._alarms = Alarms(emit, clock)
        self._tombstone = settings.tombstone * 1000
        self._tombstones: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._watched: dict[str, _Watched] = {}
        self._proven: dict[str, bytes] = {}
        self._guards: dict[str, bytes] = {}
        self._unsaved: dict[str, dict[str, bytes | None]] = {PROVEN: {}, GUARDS: {}}
        self._restoring: dict[str, int] = {}
        # Of two who restore the same, the second has to see what the first has brought back.
        self._restores = trio.Lock()

    async def load(self) -> None:
        """Take up what an earlier run knew of apps and tokens; for the start, before any push.

        A guard that was tripped stays so, unless its app has been changed.
        """
        self._proven = await self._store.recall(PROVEN)
        self._guards = await self._store.recall(GUARDS)
        for app_id in self._guards:
            self._watch(app_id)
        found = await self._store.tombstones(self._clock(), limit=MOST_TOMBSTONES)
        for device, until in reversed(found):
            self._tombstones[device.app, device.token] = until

    # -- tombstones --------------------------------------------------------------------------

    def is_dead(self, app_id: str, token: str) -> bool:
        """Whether a token, normalised, was found gone of late and not registered since: a push to
        it need not ask the provider (PU-48)."""
        return self._tombstones.get((app_id, token), 0) > self._clock()

    def registered(self, channel: Channel) -> None:
        """A channel has got a token, just now: `Directory.on_registered`. What was known of an
        earlier token is no concern of this one."""
        channel.stale_answers = channel.rest = channel.held_until = 0
        if channel.device is not None:
            self._tombstones.pop((channel.device.app, channel.device.token), None)

    def _bury(self, device: Device, until: int) -> None:
        self._tombstones[device.app, device.token] = until
        self._tombstones.move_to_end((device.app, device.token))
        if len(self._tombstones) > MOST_TOMBSTONES:
            self._tombstones.popitem(last=False)

    async def forget(self, *, keep: int, limit: int) -> int:
        """Forget tombstones that are over, and records of what was removed longer than a day ago
        or the oldest beyond `keep`; how many of the latter."""
        now = self._clock()
        while self._tombstones and next(iter(self._tombstones.values())) <= now:
            self._tombstones.popitem(last=False)
        before = now - max(DAY, self._tombstone)
        return await self._store.forget_removed(before, keep=keep, limit=limit)

    # -- judging -----------------------------------------------------------------------------

    def judge(self, channel: Channel, outcome: Outcome, *, seconds: float) -> Outcome:
        """What an attempt that took so long is to be taken for; every attempt's outcome is to
        pass here, once. Only of a `Gone` that comes back the token is to be removed."""
        device = channel.device
        if device is None:
            return outcome
        if Word.ALARM in outcome.words:
            reason = "" if isinstance(outcome, Delivered) else outcome.reason
            self._alarms.sound(device.app, reason, status=outcome.status)
        watched = self._watch(device.app)
        if watched is None:
            return outcome
        self._note(device.app, watched, outcome)
        if isinstance(outcome, Delivered):
            channel.stale_answers = 0
        if not isinstance(outcome, Gone):
            return outcome
        if self._is_stale(channel, device, outcome, seconds):
            return Deferred(
                "stale", status=outcome.status, sign=Sign.CONTACT, excerpt=outcome.excerpt
            )
        return self._doubt(device.app, watched, outcome)

    def _is_stale(self, channel: Channel, device: Device, outcome: Gone, seconds: float) -> bool:
        """Whether the token was registered after what the provider says of it (PU-50)."""
        if device.registered_at > self._clock() - int(seconds * 1000):
            return True
        if outcome.since is None or outcome.since >= device.registered_at:
            return False
        channel.stale_answers += 1
        return channel.stale_answers < MOST_STALE

    def _doubt(self, app_id: str, watched: _Watched, outcome: Gone) -> Outcome:
        if not outcome.is_guarded:
            return outcome
        if watched.guard.tripped_at is not None:
            reason = GUARDED
        elif not watched.is_proven:
            reason = UNPROVEN
        else:
            return outcome
        self._alarms.sound(app_id, reason, status=outcome.status)
        return Refused(reason, outcome.status, excerpt=outcome.excerpt)

    def _note(self, app_id: str, watched: _Watched, outcome: Outcome) -> None:
        if outcome.sign is not Sign.CONTACT:
            return
        answer = _answer(outcome)
        if answer is Answer.DELIVERED and not watched.is_proven:
            watched.is_proven = True
            self._keep(PROVEN, app_id, watched.fingerprint)
        match watched.guard.note(answer, self._clock()):
            case Change.TRIPPED:
                self._trip(app_id, watched)
            case Change.CLEARED:
                self._cleared(app_id)
        if watched.guard.is_losing_many:
            self._alarms.sound(app_id, "unregistered")

    # -- the guard (PU-49) -------------------------------------------------------------------

    def guarded_apps(self) -> list[str]:
        """The apps whose guard has tripped."""
        return sorted(
            app_id for app_id, one in self._watched.items() if one.guard.tripped_at is not None
        )

    def clear_guard(self, app_id: str) -> bool:
        """Believe again what the provider says of this app's tokens; False if it was believed."""
        watched = self._watched.get(app_id)
        if watched is None or watched.guard.tripped_at is None:
            return False
        watched.guard.clear()
        self._cleared(app_id)
        return True

    def reconfigure(self, registry: AppRegistry, settings: PushSettings) -> None:
        """Other apps and keys from now on. An app that has changed has to prove itself again, and
        its guard clears; a tombstone that stands stays as long as it was to."""
        self._registry, self._settings = registry, settings
        self._tombstone = settings.tombstone * 1000
        for app_id, watched in list(self._watched.items()):
            if self._fingerprint(app_id) != watched.fingerprint:
                self.clear_guard(app_id)
                del self._watched[app_id]

    def _watch(self, app_id: str) -> _Watched | None:
        """What is known of an app; None where nobody has registered it."""
        watched = self._watched.get(app_id)
        return self._begin(app_id) if watched is None else watched

    def _begin(self, app_id: str) -> _Watched | None:
        fingerprint = self._fingerprint(app_id)
        if fingerprint is None:
            return None
        tripped, _, at = self._guards.get(app_id, b"").partition(b" ")
        guard = RemovalGuard(int(at) if tripped == fingerprint else None)
        is_proven = self._proven.get(app_id) == fingerprint
        watched = self._watched[app_id] = _Watched(fingerprint, is_proven, guard)
        if guard.tripped_at is not None:
            self._metrics.push_guards_tripped.inc()
        elif tripped:
            self._keep(GUARDS, app_id, None)
            self._emit("push.guard.cleared", app_id=app_id)
        return watched

    def _fingerprint(self, app_id: str) -> bytes | None:
        """What of an app's configuration a proof is for: provider, key, topic, environment."""
        app = self._registry.find(app_id)
        if app is None:
            return None
        key = self._settings.keys.get(app.key)
        parts = [app.provider, app.key, app.topic, app.environment]
        if key is not None:
            parts += [key.team_id or "", key.key_id or "", key.project, key.endpoint]
            parts += [key.private_key or "", key.service_account or ""]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32].encode()

    def _trip(self, app_id: str, watched: _Watched) -> None:
        now = self._clock()
        self._keep(GUARDS, app_id, b"%b %d" % (watched.fingerprint, now))
        self._restoring[app_id] = now - WINDOW
        self._metrics.push_guards_tripped.inc()
        self._emit("push.guard.tripped", app_id=app_id)

    def _cleared(self, app_id: str) -> None:
        self._keep(GUARDS, app_id, None)
        self._metrics.push_guards_tripped.dec()
        self._emit("push.guard.cleared", app_id=app_id)

    def _keep(self, kind: str, app_id: str, value: bytes | None) -> None:
        self._unsaved[kind][app_id] = value

    # -- removing and restoring --------------------------------------------------------------

    async def remove(self, channel: Channel, outcome: Gone, *, judged_at: int) -> bool:
        """Remove every channel of this one's device token, whoever's; False, with nothing done,
        when the token has been registered later than the provider knew. Raises `StoreError`,
        nothing is done then."""
        device = channel.device
        if device is None:
            return True
        before = judged_at
        if outcome.since is not None and channel.stale_answers < MOST_STALE:
            before = min(before, outcome.since)
        now = self._clock()
        removal = Removal(now, now + self._tombstone, outcome.is_guarded)

        def removed(ended: Ended, channels: Sequence[Channel]) -> None:
            if channels:
                self._bury(device, removal.tombstone)
                self._tell(device, channels, outcome)
            ending = Ending("gone", outcome.reason, outcome.status)
            self._endings.tell_all(ended.pushes, ending)

        if await self._directory.remove_device(device, removal, removed, before=before):
            return True
        channel.stale_answers += 1
        return False

    def _tell(self, device: Device, removed: Sequence[Channel], outcome: Gone) -> None:
        self._metrics.push_tokens_removed[device.provider, outcome.reason].inc(len(removed))
        owned = [one for one in removed if not is_reserved(one.user)]
        self._emit(
            "push.token.removed",
            app_id=device.app,
            token=device.token,
            accounts=sorted({one.user for one in owned}),
            selectors=sorted({one.client_correlator for one in owned}),
            reason=outcome.reason,
            provider_timestamp=outcome.since,
        )

    async def restore(self, app_id: str, since: int, *, guarded_only: bool = False) -> int:
        """Bring back the channels of an app that were removed since then (epoch milliseconds),
        with their subscriptions; how many. What has been registered anew stays as it is. Durable
        on return; whoever is interrupted goes on by asking again."""
        restored = after = 0
        async with self._restores:
            while True:
                found = await self._store.removed_devices(
                    app_id, since, guarded_only=guarded_only, after=after, limit=SLICE
                )
                back = await self._directory.restore_devices(found)
                restored += len(back)
                for channel in back:
                    self.registered(channel)
                if len(found) < SLICE:
                    break
                after = found[-1].key
        log.info("push.tokens_restored", app_id=app_id, channels=restored)
        return restored

    # -- what is to be written ---------------------------------------------------------------

    @property
    def has_work(self) -> bool:
        """Whether `catch_up` has anything to do."""
        return bool(self._restoring or any(self._unsaved.values()))

    async def catch_up(self) -> None:
        """Write what was learned of apps, and bring back what a guard wants back that tripped.
        On `StoreError`, or cancelled, the rest waits for the next time."""
        for kind, values in self._unsaved.items():
            if values:
                saving = dict(values)
                await self._store.remember(kind, saving)
                for name, value in saving.items():
                    if values.get(name) == value:
                        del values[name]
        for app_id, since in list(self._restoring.items()):
            await self.restore(app_id, since, guarded_only=True)
            del self._restoring[app_id]


def _answer(outcome: Outcome) -> Answer:
    match outcome:
        case Delivered():
            return Answer.DELIVERED
        case Gone(is_guarded=True):
            return Answer.GUARDED
        case Gone():
            return Answer.UNREGISTERED
        case _:
            return Answer.OTHER
