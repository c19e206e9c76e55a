"""Who can be reached where: the rules for changing channels and subscriptions.

Changes are decided and made in memory at once, then stored; if the store refuses, they are taken
back. So two requests racing for the last place of a quota see each other.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from tocsin.delivery.account import Account
from tocsin.delivery.changes import Changes, side_by_side
from tocsin.delivery.devicechannels import DeviceChannels, registered_at, take_out
from tocsin.delivery.settings import ChannelSettings, DeliveryLimits
from tocsin.delivery.succession import (
    Waitlist,
    bequeath,
    inherit,
    is_abandoned,
    newer_than,
    older_than,
    pair_of,
    room_for,
)
from tocsin.model.channel import Channel, ChannelState, ChannelType, Device, end_of
from tocsin.model.errors import StoreError, duplicate, forbidden
from tocsin.model.gatewayuser import is_reserved
from tocsin.model.services import STANDARD, Services
from tocsin.model.subscription import Subscription
from tocsin.ops.metrics import Metrics
from tocsin.store.interface import Store
from tocsin.store.records import Ended, LogEnd, Takeover

__all__ = ["Account", "Directory"]

SHORTEST, LONGEST = 60, 86_400
ROTATION_GRACE = 86_400.0


class Directory(DeviceChannels):
    """Finds accounts and changes them.

    `on_removed` is told of channels that are gone, `on_resumed` of lanes that have work again,
    `on_arrived` of channels that have taken over what waited elsewhere, `on_switched` of channels
    that were suspended or resumed, `on_registered` of channels that got a device token, and
    `on_ended` of what ended with a channel that was removed.
    """

    def __init__(
        self,
        store: Store,
        *,
        settings: ChannelSettings,
        limits: DeliveryLimits,
        metrics: Metrics,
        clock: Callable[[], int],
        services: Services = STANDARD,
        token_exclusive: bool = False,
        rotation_grace: float = ROTATION_GRACE,
    ) -> None:
        """`token_exclusive`: a device token serves one user only (CH-74). `rotation_grace`: seconds
        for which the secret before the last one signs as well (PU-77)."""
        super().__init__(store, most_cached=settings.cached_users, metrics=metrics, clock=clock)
        self._settings = settings
        self._limits = limits
        self._services = services
        self._token_exclusive = token_exclusive
        self._rotation_grace = int(rotation_grace * 1000)
        self._abandoned_after = int(settings.abandoned_after * 1000)
        self._waitlist = Waitlist()
        self._changes = Changes()
        self._extended: set[int] = set()
        self.on_resumed: Callable[[str], None] = lambda _lane: None
        self.on_arrived: Callable[[Channel], None] = lambda _channel: None
        self.on_switched: Callable[[Channel], None] = lambda _channel: None
        self.on_registered: Callable[[Channel], None] = lambda _channel: None
        self.on_ended: Callable[[Ended], None] = lambda _ended: None
        self.on_loaded = self._look_after_pairs

    def reconfigure(self, limits: DeliveryLimits, *, token_exclusive: bool) -> None:
        """For what is made from now on; what is there stays."""
        self._limits = limits
        self._token_exclusive = token_exclusive

    # -- channels --------------------------------------------------------------------------

    def grant_lifetime(self, requested: int | None) -> int:
        """The lifetime a client gets for the one it asked for (CH-40)."""
        return min(max(requested or self._settings.default_lifetime, SHORTEST), LONGEST)

    async def open_channel(
        self,
        account: Account,
        channel: Channel,
        *,
        twin: Callable[[], Channel | None] | None = None,
    ) -> Channel:
        """Store a channel; the existing one where it is an upsert (CH-74, CH-80), which `twin`
        finds where another app of the device may take its place (PU-25).

        Raises 409 for a correlator in use where `channels.on_duplicate` says so, and 403
        `quota_channels` where no abandoned channel makes room (CH-140). Durable on return.
        """
        find = twin or (lambda: account.same_app(channel, self._clock()))
        existing = find()
        if existing is not None:
            await self.resume(existing)
            # It may have been removed meanwhile.
            existing = find()
        if existing is None:
            self._refuse_duplicate(account, channel)
            await self._make_room(account, channel)
            # Its twin may have been here meanwhile.
            existing = find()
        kept = existing or channel
        rivals = [] if channel.device is None else account.holders(channel.device)
        if existing is not None:
            await self._renew_registration(existing, channel)
        else:
            await self._add(account, channel)
        for one in rivals:
            if one is not kept and one.id in account.channels:
                await self.remove_channel(account, one, outcome="refused")
        if channel.device is not None and self._token_exclusive:
            await self._retire_abroad(kept, channel.device)
        if kept.id not in account.channels:
            raise StoreError("the channel was not stored after all")
        return kept

    def _refuse_duplicate(self, account: Account, channel: Channel) -> None:
        if self._settings.on_duplicate == "reject" and channel.type.is_polled:
            now = self._clock()
            for one in account.living(now):
                if one.type.is_polled and one.client_correlator == channel.client_correlator:
                    raise duplicate(channel.client_correlator, "clientCorrelator")

    async def _make_room(self, account: Account, channel: Channel) -> None:
        """Below the quota on return, and nothing awaited since that was found out."""
        while len(account.living(now := self._clock())) >= self._limits.channels_per_user:
            oldest = room_for(account, channel.client_correlator, now, after=self._abandoned_after)
            if oldest is None:
                raise forbidden("quota_channels")
            await self.remove_channel(account, oldest, outcome="refused")

    async def _add(self, account: Account, channel: Channel) -> None:
        account.channels[channel.id] = channel

        def stored(error: StoreError | None) -> None:
            if error is not None:
                account.channels.pop(channel.id, None)
                return
            self._metrics.channels[channel.type].inc()
            if channel.device is not None:
                self.on_registered(channel)

        await self._store.add_channel(channel, stored)

    async def _renew_registration(self, existing: Channel, wanted: Channel) -> None:
        """The token or signing secret of the latest POST counts; the secret before it signs, too,
        for the rotation's grace, and one that is not given stays (PU-77). The clock of a channel
        that has one starts again."""
        now = self._clock()
        webhook, secret = (
            existing.webhook,
            None if wanted.webhook is None else wanted.webhook.secret,
        )
        if webhook is not None and secret is not None:
            webhook = webhook.rotated(secret, until=now + self._rotation_grace)
        lane = existing.lane
        reported = self._changes.make(
            existing,
            webhook=webhook,
            device=wanted.device,
            echoed=wanted.echoed,
            used_at=wanted.used_at,
            lifetime=wanted.lifetime,
            expires_at=end_of(wanted.lifetime, now),
        )

        def stored(error: StoreError | None) -> None:
            reported(error)
            if error is None and existing.device is not None:
                self.on_registered(existing)
                if existing.device.lane != lane:
                    # What waited for another app of the device waits in the lane of this one now.
                    self.on_resumed(existing.device.lane)

        await self._store.change_channel(existing, stored)

    async def _retire_abroad(self, kept: Channel, device: Device) -> None:
        """Other users' older channels with the same token go (CH-74), but for the gateway's, which
        are nobody's. Of two that find each other, both agree which is the older."""
        found = await self._store.find_device(device)
        users = {user for user, _ in found if user != kept.user and not is_reserved(user)}
        for other in await self.accounts(sorted(users)):
            for one in other.holders(device):
                if registered_at(one) < registered_at(kept):
                    await self.remove_channel(other, one, outcome="refused")

    async def renew(self, channel: Channel, requested: int) -> int:
        """Give a channel another lifetime, from now on; the seconds granted. Durable on return."""
        granted = self.grant_lifetime(requested)
        end = end_of(granted, self._clock())
        stored = self._changes.make(channel, lifetime=granted, expires_at=end)
        await self._store.change_channel(channel, stored)
        return granted

    async def resume(self, channel: Channel) -> None:
        """Call a suspended channel again, from now on. Durable on return."""
        if channel.state is ChannelState.ACTIVE:
            return
        before = channel.failing_since
        channel.state, channel.failing_since = ChannelState.ACTIVE, None

        def stored(error: StoreError | None) -> None:
            # It may have been suspended again meanwhile.
            if error is not None and channel.state is ChannelState.ACTIVE:
                channel.state, channel.failing_since = ChannelState.SUSPENDED, before
            if channel.state is ChannelState.ACTIVE:
                self.on_switched(channel)
            if channel.lane is not None:
                self.on_resumed(channel.lane)

        await self._store.resume_channel(channel, stored, now=self._clock())

    async def suspend(self, channel: Channel) -> None:
        """Stop calling a webhook until it is POSTed again or resumed (CH-83, 410)."""
        if channel.state is not ChannelState.SUSPENDED:
            channel.state = ChannelState.SUSPENDED
            self.on_switched(channel)
        await self._store.suspend_channel(channel)

    async def remove_channel(self, account: Account, channel: Channel, *, outcome: str) -> int:
        """Remove a channel with its subscriptions; its deliveries end as `outcome` (CH-21, CH-43).

        Returns how many deliveries ended.
        """
        reported = take_out(account, [channel], account.pointing_to(channel))
        ended = 0

        def removed(result: Ended | None, error: StoreError | None) -> None:
            nonlocal ended
            reported(error)
            if error is not None or result is None:
                return
            # Somebody else may have failed to remove it meanwhile, and put it back.
            take_out(account, [channel], account.pointing_to(channel))(None)
            self._count_ended(result, outcome)
            self.on_ended(result)
            ended = sum(result.counts.values())
            if channel.key in result.channels:
                self.on_removed(channel)

        reason = "channel_deleted" if outcome == "refused" else "channel_expired"
        end = LogEnd(self._clock(), outcome, reason)
        await self._store.remove_channel(channel, removed, end=end)
        return ended

    # -- subscriptions ---------------------------------------------------------------------

    async def subscribe(
        self, account: Account, subscription: Subscription, body: bytes
    ) -> tuple[Subscription, bytes]:
        """Store a subscription with its text; the existing one where it is the same (CH-92).

        In the same transaction its channel takes over from abandoned ones (CH-45). Raises 403
        `service_not_on_channel` (CH-93) or `quota_subscriptions`. Durable on return.
        """
        channel = subscription.channel
        if not self._services.allows(subscription.service, channel):
            raise forbidden("service_not_on_channel")
        host = account if channel.user == account.user else await self.account(channel.user)
        for one in account.subscriptions.values():
            if one.identity == subscription.identity and not one.is_over(self._clock()):
                return one, await self._renewed(one, subscription)
        now = self._clock()
        takeovers = self._inherited(host, subscription, now)
        held = sum(not one.is_over(now) for one in account.subscriptions.values())
        if held - len(takeovers) >= self._limits.subscriptions_per_user:
            raise forbidden("quota_subscriptions")
        account.visit(host)
        subscription.created_at = now
        account.subscriptions[subscription.id] = subscription
        account.begin_change(subscription.id)
        reported = _let_go(host, takeovers)

        def stored(ended: Ended | None, error: StoreError | None) -> None:
            account.end_change(subscription.id)
            if error is not None:
                account.subscriptions.pop(subscription.id, None)
                account.leave(host)
            reported(error)
            if error is not None or ended is None:
                return
            self._metrics.subscriptions[subscription.service].inc()
            self._taken_over(host, takeovers, ended)

        await self._store.add_subscription(subscription, body, stored, takeovers=takeovers)
        return subscription, body

    async def _renewed(self, existing: Subscription, wanted: Subscription) -> bytes:
        """The text of a subscription that was asked for again; its time starts again (CH-95)."""
        stored = self._changes.make(existing, expires_at=wanted.expires_at)
        await self._store.renew_subscription(existing, stored)
        found = await self._store.subscription_bodies([existing.id])
        if not found:
            raise StoreError("the subscription was not stored after all")
        return found[0]

    async def unsubscribe(self, account: Account, subscription: Subscription) -> None:
        """Remove a subscription."""
        now = self._clock()
        channel = subscription.channel
        host = self.cached(channel.user) or account
        reported = take_out(host, [], [(account, subscription)])
        if channel.used_at is not None:
            channel.used_at = now

        def removed(error: StoreError | None) -> None:
            reported(error)
            if error is None:
                self._metrics.subscriptions[subscription.service].dec()

        await self._store.remove_subscription(subscription, now, removed)

    async def bodies(self, ids: Sequence[str]) -> list[bytes]:
        """The JSON texts of subscriptions, without those that have gone meanwhile."""
        return await self._store.subscription_bodies(ids)

    # -- succession (CH-45) ----------------------------------------------------------------

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
        reported = _let_go(account, takeovers)

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

    # -- what ends by itself ---------------------------------------------------------------

    async def expire_channels(self, limit: int = 500) -> int:
        """End channels whose clock has run out (CH-43); how many were dealt with.

        The stored clock is a lower bound: a socket restarts its channel's clock in memory only
        (CH-41), and the true time is written when the stored one comes up. One that comes up
        again at once was not written, and is not dealt with. The removals of one call share their
        commits.
        """
        now = self._clock()
        found = await self._store.expired_channels(now, limit=limit)
        extended: list[Channel] = []
        ending: list[tuple[Account, Channel]] = []
        for account, channel in await self._channels(found):
            if channel.is_over(now):
                ending.append((account, channel))
            else:
                extended.append(channel)
        if extended:
            self._store.extend_channels(extended)
        before, self._extended = self._extended, {channel.key for channel in extended}
        failed = await self._end_all(ending, outcome="expired")
        return len(found) - failed - len(before & self._extended)

    async def collect_unused(self, kind: ChannelType, before: int, limit: int = 500) -> int:
        """End webhooks without a subscription that nobody has used since (CH-42), or devices of the
        gateway (PU-23); how many."""
        found = await self._store.unused_channels(kind, before, limit=limit)
        unused = [
            (account, channel)
            for account, channel in await self._channels(found)
            if (channel.used_at or 0) < before and not account.pointing_to(channel)
        ]
        failed = await self._end_all(unused, outcome="refused")
        return len(unused) - failed

    async def expire_subscriptions(self, limit: int = 500) -> int:
        """End subscriptions whose time is up (CH-95); how many were dealt with. They share their
        commits."""
        now = self._clock()
        found = await self._store.expired_subscriptions(now, limit=limit)
        accounts = await self.accounts([user for user, _ in found])
        ending = {
            id_: partial(self.unsubscribe, account, one)
            for account, (_, id_) in zip(accounts, found, strict=True)
            if (one := account.subscriptions.get(id_)) is not None and one.is_over(now)
        }
        return len(found) - await side_by_side("subscription.expiry_failed", ending)

    async def _channels(self, found: Sequence[tuple[str, str]]) -> list[tuple[Account, Channel]]:
        """The channels of these (user, id) that are still there."""
        accounts = await self.accounts([user for user, _ in found])
        return [
            (account, channel)
            for account, (_, channel_id) in zip(accounts, found, strict=True)
            if (channel := account.channels.get(channel_id)) is not None
        ]

    async def _end_all(self, ending: Sequence[tuple[Account, Channel]], *, outcome: str) -> int:
        """Remove channels; how many the store did not take."""
        return await side_by_side(
            "channel.expiry_failed",
            {
                channel.id: partial(self.remove_channel, account, channel, outcome=outcome)
                for account, channel in ending
            },
        )

    def clocks(self) -> list[Channel]:
        """Channels in memory whose clock may be newer than the stored one, for the end."""
        return [
            channel
            for account in self.all_known()
            for channel in account.channels.values()
            if channel.lifetime is not None
        ]


def _let_go(host: Account, takeovers: Sequence[Takeover]) -> Callable[[StoreError | None], None]:
    """Take what is taken over out of memory, as `take_out` does."""
    going = {one.subscription.id for one in takeovers}
    olds = dict.fromkeys(one.subscription.channel for one in takeovers)
    return take_out(
        host,
        [one.subscription.channel for one in takeovers if one.ends],
        [pair for old in olds for pair in host.pointing_to(old) if pair[1].id in going],
    )
