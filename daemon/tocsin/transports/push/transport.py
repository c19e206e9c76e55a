"""Pushing to phones: one attempt per call, by whichever credential the app has (push.md, C)."""

from collections.abc import Callable, Mapping

import attrs
import trio

from tocsin.delivery.pushapps import AppRegistry, PushKeySettings
from tocsin.model.delivery import Delivery
from tocsin.model.outcome import Deferred, Delivered, Gone, Outcome, Refused, Sign, Word
from tocsin.ops.metrics import PROVIDERS, Metrics
from tocsin.ops.service import Progress
from tocsin.transports.push.apns_credential import Memory
from tocsin.transports.push.attempt import Sender, deadline_of, sum_of
from tocsin.transports.push.fcm_credential import Emit, Fetch, OnState
from tocsin.transports.push.pool import PoolStatistics
from tocsin.transports.push.senders import MakePool, SenderMaker, http2_pool
from tocsin.wire.push.app import PushRules

UNKNOWN_APP = Deferred("app_unknown", 60.0, sign=Sign.NOTHING, words=frozenset({Word.ALARM}))
NOT_LOADED = Deferred("not_sent", sign=Sign.NOTHING)
RESULTS = {Delivered: "delivered", Deferred: "deferred", Refused: "refused", Gone: "gone"}


class PushTransport:
    """Tries once and says what came of it; decides nothing else.

    Both clocks tell epoch milliseconds: deadlines go by the daemon's own `clock`, what providers
    compare with theirs by the `wall`. `memory` keeps provider tokens over restarts. `on_state` is
    called with the name of a key and `oauth` when it cannot be used, `key_paused` when the
    provider refuses it in a GOAWAY, None when it can be used again. `emit` tells an operator.
    `make_pool` and `fetch` replace the ways to providers and to Google's tokens.

    `load`, `run` and `aclose` belong to the owner. Attempts before that wait for it, within their
    deadline.
    """

    def __init__(
        self,
        registry: AppRegistry,
        rules: PushRules,
        keys: Mapping[str, PushKeySettings],
        *,
        memory: Memory,
        metrics: Metrics,
        clock: Callable[[], int],
        wall: Callable[[], int],
        on_state: OnState,
        emit: Emit,
        make_pool: MakePool = http2_pool,
        fetch: Fetch | None = None,
    ) -> None:
        self._registry = registry
        self._keys = keys
        self._metrics = metrics
        self._clock = clock
        self._on_state = on_state
        self._maker = SenderMaker(
            rules, memory, metrics, on_state, emit, clock, wall, make_pool, fetch
        )
        self._tenures: dict[str, _Tenure] = {}
        self._waiting: list[_Tenure] = []
        self._arrived = trio.Event()
        self._loaded = trio.Event()
        metrics.sample(self._sample)

    async def attempt(self, delivery: Delivery) -> Outcome:
        """One attempt, 10 s at most. Cancelled, it gives its stream or its place free."""
        deadline = deadline_of(delivery.notification, self._clock())
        if not self._loaded.is_set() and not await self._wait_loaded(deadline):
            return NOT_LOADED
        device = delivery.channel.device
        app = None if device is None else self._registry.find(device.app, device.provider)
        tenure = None if app is None else self._tenures.get(app.key)
        if device is None or app is None or tenure is None:
            await trio.lowlevel.checkpoint()
            return UNKNOWN_APP
        began = trio.current_time()
        outcome = await tenure.sender.attempt(delivery, app, device.token, deadline)
        self._count(app.provider, outcome, trio.current_time() - began)
        return outcome

    async def load(self) -> None:
        """Read the credentials; StartupError for one that cannot be read. Once is enough."""
        if self._loaded.is_set():
            await trio.lowlevel.checkpoint()
            return
        for name, settings in self._keys.items():
            self._tenures[name] = _Tenure(await self._maker.make(name, settings))
        await self._maker.tidy(self._keys.values())
        self._loaded.set()

    async def run(self, progress: Progress) -> None:
        """Look after connections and credentials, until cancelled; loads them if need be."""
        progress.waiting("the credentials")
        await self.load()
        progress.ready()
        self._waiting = list(self._tenures.values())
        async with trio.open_nursery() as nursery:
            while True:
                for tenure in self._waiting:
                    nursery.start_soon(tenure.run)
                self._waiting, self._arrived = [], trio.Event()
                progress.waiting("another credential")
                await self._arrived.wait()

    async def make_senders(
        self, keys: Mapping[str, PushKeySettings | None]
    ) -> dict[str, Sender | None]:
        """What `replace_keys` takes for these credentials; nothing is different yet.

        Raises StartupError if one of them cannot be read.
        """
        await self._loaded.wait()
        return {
            name: None if settings is None else await self._maker.make(name, settings)
            for name, settings in keys.items()
        }

    def replace_keys(self, senders: Mapping[str, Sender | None]) -> None:
        """Push by these from now on; None ends a credential. The old ones' connections drain.

        Whatever was wrong with an old one, the new one can be used until that is found otherwise.
        """
        for name, sender in senders.items():
            old = self._tenures.pop(name, None)
            if old is not None:
                old.over.set()
            if sender is not None:
                self._tenures[name] = new = _Tenure(sender)
                self._waiting.append(new)
                self._arrived.set()
                self._on_state(name, None)

    def replace_apps(self, registry: AppRegistry, rules: PushRules) -> None:
        """Attempts that begin from now on are for these apps, under these rules."""
        self._registry = registry
        self._maker.rules = rules
        for tenure in self._tenures.values():
            tenure.sender.rules = rules

    async def aclose(self) -> None:
        """Take no more pushes, and wait for those under way, 10 s at most."""
        async with trio.open_nursery() as nursery:
            for tenure in self._tenures.values():
                nursery.start_soon(tenure.sender.aclose)

    def statistics(self) -> dict[str, PoolStatistics]:
        """The connections to each provider."""
        return {
            provider: sum_of(one.sender.statistics() for one in self._of(provider))
            for provider in PROVIDERS
        }

    def _of(self, provider: str) -> list["_Tenure"]:
        return [one for one in self._tenures.values() if one.sender.provider == provider]

    async def _wait_loaded(self, deadline: float) -> bool:
        with trio.move_on_at(deadline):
            await self._loaded.wait()
        return self._loaded.is_set()

    def _count(self, provider: str, outcome: Outcome, seconds: float) -> None:
        reason = "" if isinstance(outcome, Delivered) else outcome.reason
        self._metrics.push_attempts[provider, RESULTS[type(outcome)], reason].inc()
        self._metrics.push_attempt_duration[provider].observe(seconds)

    def _sample(self) -> None:
        for provider, statistics in self.statistics().items():
            self._metrics.push_connections[provider].set(statistics.connections)
            self._metrics.push_streams[provider].set(statistics.streams)
            ends = [one.sender.expires_at for one in self._of(provider)]
            self._metrics.provider_credential_expiry[provider].set(min(ends, default=0.0))


@attrs.define(eq=False)
class _Tenure:
    """A sender as long as its credential is the one in use, and until its last push is over."""

    sender: Sender
    over: trio.Event = attrs.field(factory=trio.Event)

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.sender.run)
            await self.over.wait()
            await self.sender.aclose()
            nursery.cancel_scope.cancel()
