"""What newer channels take over from abandoned ones of the same client: carried out (CH-45).

What goes to whom, and which channel counts as abandoned, is decided in `succession`.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from tocsin.delivery.account import Account
from tocsin.delivery.changes import side_by_side
from tocsin.delivery.devicechannels import DeviceChannels, take_out
from tocsin.delivery.settings import ChannelSettings
from tocsin.delivery.succession import (
    Waitlist,
    bequeath,
    inherit,
    is_abandoned,
    newer_than,
    older_than,
    pair_of,
)
from tocsin.model.channel import Channel
from tocsin.model.errors import StoreError
from tocsin.model.subscription import Subscription
from tocsin.ops.metrics import Metrics
from tocsin.store.interface import Store
from tocsin.store.records import Ended, Takeover


class Takeovers(DeviceChannels):
    """Accounts whose abandoned channels make way. `on_arrived` is told of channels that have taken
    over what waited elsewhere."""

    def __init__(
        self,
        store: Store,
        *,
        settings: ChannelSettings,
        metrics: Metrics,
        clock: Callable[[], int],
    ) -> None:
        super().__init__(store, most_cached=settings.cached_users, metrics=metrics, clock=clock)
        self._settings = settings
        self._abandoned_after = int(settings.abandoned_after * 1000)
        self._waitlist = Waitlist()
        self.on_arrived: Callable[[Channel], None] = lambda _channel: None
        self.on_loaded = self._look_after_pairs

    def left(self, channel: Channel) -> None:
        """A channel has lost its client; if a newer one of the pair waits for what it leaves
        behind, it is looked at again when it counts as abandoned."""
        account = self.cached(channel.user)
        if account is not None and newer_than(account, channel, self._clock()):
            self._look_again(channel)

    async def take_over_abandoned(self, limit: int = 500) -> int:
        """Have newer channels take over from those that are abandoned by now; how many were dealt
        with. They share their commits, and each that the store does not take is tried again."""
        now = self._clock()
        moves: dict[str, Callable[[], Awaitable[object]]] = {}
        looked_at = 0
        while looked_at < limit and (due := self._waitlist.due(now)) is not None:
            looked_at += 1
            user, channel_id = due
            # Who is not in memory is looked after when he is loaded.
            account = self.cached(user)
            channel = None if account is None else account.channel(channel_id, now)
            if (
                account is not None
                and channel is not None
                and is_abandoned(channel, now, after=self._abandoned_after)
            ):
                moves[channel.id] = partial(self._pass_on, account, channel, now)
        return looked_at - await side_by_side("channel.takeover_failed", moves)

    async def _pass_on(self, account: Account, channel: Channel, now: int) -> None:
        takeovers = bequeath(account, channel, now) if self._supersedes else []
        if not takeovers:
            return
        reported = let_go(account, takeovers)

        def stored(ended: Ended | None, error: StoreError | None) -> None:
            reported(error)
            if error is not None or ended is None:
                self._look_again(channel, not_before=self._clock() + 1000)
            else:
                self._taken_over(account, takeovers, ended)

        await self._store.take_over(takeovers, stored)

    @property
    def _supersedes(self) -> bool:
        return self._settings.on_duplicate == "supersede"

    def _inherited(self, host: Account, subscription: Subscription, now: int) -> list[Takeover]:
        if not self._supersedes:
            return []
        for old in older_than(host, subscription.channel, now):
            self._look_again(old)
        return inherit(host, subscription, now, after=self._abandoned_after)

    def _look_after_pairs(self, account: Account) -> None:
        """After a restart: whoever is not back in time has abandoned his channel."""
        now = self._clock()
        for channel in account.living(now):
            if channel.type.is_polled and len(pair_of(account, channel, now)) > 1:
                self._look_again(channel)

    def _look_again(self, channel: Channel, *, not_before: int = 0) -> None:
        if self._supersedes and channel.left_at is not None:
            due_at = max(channel.left_at + self._abandoned_after, not_before)
            self._waitlist.add(channel, due_at)

    def _taken_over(self, host: Account, takeovers: Sequence[Takeover], ended: Ended) -> None:
        self._count_ended(ended, "refused")
        for old in {one.subscription.channel for one in takeovers if one.ends}:
            if old.key in ended.channels:
                self.on_removed(old)
            else:
                # Somebody who is not in memory has a subscription that points to it.
                host.channels[old.id] = old
        for heir in {one.heir.id: one.heir for one in takeovers}.values():
            heir.room = heir.room_bytes = 0  # what has come is to be counted
            self.on_arrived(heir)


def let_go(host: Account, takeovers: Sequence[Takeover]) -> Callable[[StoreError | None], None]:
    """Take what is taken over out of memory, as `take_out` does."""
    going = {one.subscription.id for one in takeovers}
    olds = dict.fromkeys(one.subscription.channel for one in takeovers)
    return take_out(
        host,
        [one.subscription.channel for one in takeovers if one.ends],
        [pair for old in olds for pair in host.pointing_to(old) if pair[1].id in going],
    )
