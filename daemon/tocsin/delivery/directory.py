"""Who can be reached where: the rules for changing channels and subscriptions.

Changes are decided and made in memory at once, then stored; if the store refuses, they are taken
back. So two requests racing for the last place of a quota see each other.
"""

from collections.abc import Callable, Sequence

from tocsin.delivery.account import Account
from tocsin.delivery.changes import Changes
from tocsin.delivery.devicechannels import registered_at, take_out
from tocsin.delivery.settings import ChannelSettings, DeliveryLimits
from tocsin.delivery.succession import room_for
from tocsin.delivery.takeovers import Takeovers, let_go
from tocsin.model.channel import Channel, ChannelState, Device, end_of
from tocsin.model.errors import StoreError, duplicate, forbidden
from tocsin.model.gatewayuser import is_reserved
from tocsin.model.services import STANDARD, Services
from tocsin.model.subscription import Subscription
from tocsin.ops.metrics import Metrics
from tocsin.store.interface import Store
from tocsin.store.records import Ended, LogEnd

__all__ = ["Account", "Directory"]

SHORTEST, LONGEST = 60, 86_400
ROTATION_GRACE = 86_400.0


class Directory(Takeovers):
    """Finds accounts and changes them.

    `on_removed` is told of channels that are gone, `on_resumed` of lanes that have work again,
    `on_switched` of channels that were suspended or resumed, `on_registered` of channels that got a
    device token, and `on_ended` of what ended with a channel that was removed.
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
        super().__init__(store, settings=settings, metrics=metrics, clock=clock)
        self._limits = limits
        self._services = services
        self._token_exclusive = token_exclusive
        self._rotation_grace = int(rotation_grace * 1000)
        self._changes = Changes()
        self.on_resumed: Callable[[str], None] = lambda _lane: None
        self.on_switched: Callable[[Channel], None] = lambda _channel: None
        self.on_registered: Callable[[Channel], None] = lambda _channel: None
        self.on_ended: Callable[[Ended], None] = lambda _ended: None

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
        # What a provider asked for its token is over with that token.
        held_until = existing.held_until if wanted.device is None else 0
        reported = self._changes.make(
            existing,
            held_until=held_until,
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

    async def resume(self, channel: Channel, *, at_once: bool = False) -> None:
        """Call a suspended channel again, from now on; with `at_once` also one that wants to be
        left alone. Durable on return."""
        was, before, held_until = channel.state, channel.failing_since, channel.held_until
        is_held = at_once and channel.held_for(self._clock()) > 0
        if was is ChannelState.ACTIVE and not is_held:
            return
        channel.state, channel.failing_since, channel.held_until = ChannelState.ACTIVE, None, 0

        def stored(error: StoreError | None) -> None:
            if error is not None:
                channel.held_until = max(channel.held_until, held_until)
            # It may have been suspended again meanwhile.
            if error is not None and channel.state is ChannelState.ACTIVE:
                channel.state, channel.failing_since = was, before
            if channel.state is ChannelState.ACTIVE is not was:
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
        reported = let_go(host, takeovers)

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

    def clocks(self) -> list[Channel]:
        """Channels in memory whose clock may be newer than the stored one, for the end."""
        return [
            channel
            for account in self.all_known()
            for channel in account.channels.values()
            if channel.lifetime is not None
        ]
