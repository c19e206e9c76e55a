"""Device tokens that are gone: when to believe it, and what goes with them (push.md, C.5).

What a provider says of a token is believed with care: of an app that has never been pushed to with
success, or of many tokens at once, it may say so because the mistake is ours.
"""

from collections.abc import Callable
from typing import Protocol

from tocsin.delivery.directory import Directory
from tocsin.delivery.pushapps import AppRegistry, PushSettings
from tocsin.model.channel import Channel
from tocsin.model.outcome import Outcome
from tocsin.ops.metrics import Metrics
from tocsin.store.interface import Store


class Emit(Protocol):
    """Where events go (`Events.emit`)."""

    def __call__(self, name: str, **fields: object) -> None:
        """Never waits, never raises."""


class Devices:
    """Judges what providers say of tokens, removes what is gone, and restores it."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        registry: AppRegistry,
        settings: PushSettings,
        *,
        metrics: Metrics,
        clock: Callable[[], int],
        emit: Emit,
    ) -> None:
        """Knows nothing of earlier runs before `load`."""

    async def load(self) -> None:
        """Take up what an earlier run knew of apps and tokens; for the start, before any push."""

    def is_dead(self, app_id: str, token: str) -> bool:
        """Whether a token, normalised, was found gone of late and not registered since: a push to
        it need not ask the provider (PU-48)."""

    def judge(self, channel: Channel, outcome: Outcome, *, seconds: float) -> Outcome:
        """What an attempt that took so long is to be taken for; every attempt's outcome is to
        pass here, once. Only of a `Gone` that comes back the token is to be removed."""

    async def remove(self, channel: Channel, outcome: Outcome) -> bool:
        """Remove every channel of this one's device token, whoever's; False, with nothing done,
        when the token has been registered meanwhile. Raises `StoreError`, nothing is done then."""

    async def restore(self, app_id: str, since: int) -> int:
        """Bring back the channels of an app that were removed since then (epoch milliseconds),
        with their subscriptions; how many. What has been registered anew stays as it is."""

    def guarded_apps(self) -> list[str]:
        """The apps whose guard has tripped (PU-49)."""

    def clear_guard(self, app_id: str) -> bool:
        """Believe again what the provider says of this app's tokens; False if it was believed."""
