"""Who can be reached where: channels and subscriptions by user, and the rules for changing them.

There is one `Account` object per user and one `Channel` object per channel in the process, for
as long as anyone holds them: recent users are kept by a bounded table, and a live session keeps
its own. Changes are decided and made in memory at once, then stored; if the store refuses, they
are taken back. So two requests racing for the last place of a quota see each other.
"""

import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence

import structlog
import trio

from tocsin.delivery.settings import ChannelSettings, DeliveryLimits
from tocsin.model.channel import Channel, ChannelState, ChannelType
from tocsin.model.errors import StoreError, forbidden
from tocsin.model.services import CHANNEL_TYPES
from tocsin.model.subscription import Subscription
from tocsin.ops.metrics import Metrics
from tocsin.store.interface import AccountRecord, Ended, Store

log = structlog.get_logger()


class Account:
    """One user's channels and subscriptions."""

    __slots__ = ("__weakref__", "channels", "subscriptions", "user")

    def __init__(self, record: AccountRecord) -> None:
        self.user = record.user
        self.channels = {channel.id: channel for channel in record.channels}
        self.subscriptions = {one.id: one for one in record.subscriptions}

    def channel(self, channel_id: str, now: int) -> Channel | None:
        """A living channel of this user."""
        channel = self.channels.get(channel_id)
        return None if channel is None or channel.is_over(now) else channel

    def subscriptions_of(self, channel: Channel) -> list[Subscription]:
        """The subscriptions that point to a channel."""
        return [one for one in self.subscriptions.values() if one.channel is channel]


class Directory:
    """Finds accounts and changes them."""

    def __init__(
        self,
        store: Store,
        *,
        settings: ChannelSettings,
        limits: DeliveryLimits,
        metrics: Metrics,
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._settings = settings
        self._limits = limits
        self._metrics = metrics
        self._clock = clock
        self._recent: OrderedDict[str, Account] = OrderedDict()
        self._known: weakref.WeakValueDictionary[str, Account] = weakref.WeakValueDictionary()
        self.on_removed: Callable[[Channel], None] = lambda _channel: None
        self.on_resumed: Callable[[str], None] = lambda _lane: None

    # -- finding ---------------------------------------------------------------------------

    def cached(self, user: str) -> Account | None:
        """The account, if it is in memory."""
        account = self._recent.get(user)
        if account is not None:
            self._recent.move_to_end(user)
            return account
        account = self._known.get(user)
        if account is not None:
            self._keep(account)
        return account

    async def account(self, user: str) -> Account:
        """The account of a user; an empty one for a user nobody has heard of."""
        return self.cached(user) or (await self.accounts([user]))[0]

    async def accounts(self, users: Sequence[str]) -> list[Account]:
        """The accounts of many users, loading all that are missing in one go."""
        found = {user: self.cached(user) for user in users}
        missing = [user for user, account in found.items() if account is None]
        if missing:
            for record in await self._store.load_accounts(missing):
                # Another task may have loaded it meanwhile: its object is the one.
                account = self.cached(record.user)
                if account is None:
                    account = Account(record)
                    self._known[record.user] = account
                    self._keep(account)
                found[record.user] = account
        return [account for user in users if (account := found[user]) is not None]

    def _keep(self, account: Account) -> None:
        self._recent[account.user] = account
        if len(self._recent) > self._settings.cached_users:
            self._recent.popitem(last=False)

    # -- channels --------------------------------------------------------------------------

    def grant_lifetime(self, requested: int | None) -> int:
        """The lifetime a client gets for the one it asked for (CH-40)."""
        return min(max(requested or self._settings.default_lifetime, 60), 86_400)

    async def open_channel(self, account: Account, channel: Channel) -> Channel:
        """Store a channel; the existing one where it is an upsert (CH-80).

        Raises 403 `quota_channels`. Durable on return.
        """
        existing = self._same_webhook(account, channel)
        if existing is not None:
            await self._renew_secret(existing, channel)
            await self._resume(existing)
            if existing.id not in account.channels:
                raise StoreError("the channel was not stored after all")
            return existing
        now = self._clock()
        alive = sum(not one.is_over(now) for one in account.channels.values())
        if alive >= self._limits.channels_per_user:
            raise forbidden("quota_channels")
        account.channels[channel.id] = channel

        def stored(error: StoreError | None) -> None:
            if error is not None:
                account.channels.pop(channel.id, None)
            else:
                self._metrics.channels[channel.type].inc()

        await self._store.add_channel(channel, stored)
        return channel

    def _same_webhook(self, account: Account, channel: Channel) -> Channel | None:
        hook = channel.webhook
        if hook is None:
            return None
        for one in account.channels.values():
            if (
                one.webhook is not None
                and (one.webhook.url, one.webhook.authorization) == (hook.url, hook.authorization)
                and one.client_correlator == channel.client_correlator
            ):
                return one
        return None

    async def _renew_secret(self, existing: Channel, wanted: Channel) -> None:
        """The signing secret of the latest POST counts; one without keeps the old (PU-77)."""
        old, new = existing.webhook, wanted.webhook
        if old is None or new is None or new.secret in {None, old.secret}:
            return
        existing.webhook = new

        def stored(error: StoreError | None) -> None:
            if error is not None:
                existing.webhook = old

        await self._store.change_channel(existing, stored)

    async def _resume(self, channel: Channel) -> None:
        if channel.state is ChannelState.ACTIVE:
            await self._store.barrier()
            return
        channel.state = ChannelState.ACTIVE
        try:
            await self._store.resume_channel(channel, now=self._clock())
        except StoreError:
            channel.state = ChannelState.SUSPENDED
            raise
        finally:  # a caller who is cancelled has resumed it all the same
            if channel.lane is not None:
                self.on_resumed(channel.lane)

    async def suspend(self, channel: Channel) -> None:
        """Stop calling a webhook until its channel is POSTed again (CH-83, 410)."""
        channel.state = ChannelState.SUSPENDED
        await self._store.suspend_channel(channel)

    async def remove_channel(self, account: Account, channel: Channel, *, outcome: str) -> int:
        """Remove a channel with its subscriptions; its deliveries end as `outcome` (CH-21, CH-43).

        Returns how many deliveries ended.
        """
        dropped = account.subscriptions_of(channel)
        account.channels.pop(channel.id, None)
        for one in dropped:
            del account.subscriptions[one.id]
        ended = 0

        def removed(result: Ended | None, error: StoreError | None) -> None:
            nonlocal ended
            if error is not None or result is None:
                account.channels[channel.id] = channel
                account.subscriptions.update((one.id, one) for one in dropped)
                return
            self._metrics.channels[channel.type].dec()
            for one in dropped:
                self._metrics.subscriptions[one.service].dec()
            for kind, count in result.counts.items():
                self._metrics.deliveries[kind, outcome].inc(count)
                ended += count
            self.on_removed(channel)

        await self._store.remove_channel(channel, removed)
        return ended

    # -- subscriptions ---------------------------------------------------------------------

    async def subscribe(
        self, account: Account, subscription: Subscription, body: bytes
    ) -> tuple[Subscription, bytes]:
        """Store a subscription with its text; the existing one where it is the same (CH-92).

        Raises 403 `service_not_on_channel` (CH-93) or `quota_subscriptions`. Durable on return.
        """
        if subscription.channel.type not in CHANNEL_TYPES[subscription.service]:
            raise forbidden("service_not_on_channel")
        for one in account.subscriptions.values():
            if one.identity == subscription.identity:
                await self._store.barrier()
                found = await self._store.subscription_bodies([one.id])
                if not found:
                    raise StoreError("the subscription was not stored after all")
                return one, found[0]
        if len(account.subscriptions) >= self._limits.subscriptions_per_user:
            raise forbidden("quota_subscriptions")
        account.subscriptions[subscription.id] = subscription

        def stored(_ended: Ended | None, error: StoreError | None) -> None:
            if error is not None:
                account.subscriptions.pop(subscription.id, None)
            else:
                self._metrics.subscriptions[subscription.service].inc()

        await self._store.add_subscription(subscription, body, self._clock(), stored)
        return subscription, body

    async def unsubscribe(self, account: Account, subscription: Subscription) -> None:
        """Remove a subscription."""
        del account.subscriptions[subscription.id]

        def removed(error: StoreError | None) -> None:
            if error is not None:
                account.subscriptions[subscription.id] = subscription
            else:
                self._metrics.subscriptions[subscription.service].dec()

        await self._store.remove_subscription(subscription, removed)

    async def bodies(self, ids: Sequence[str]) -> list[bytes]:
        """The JSON texts of subscriptions, without those that have gone meanwhile."""
        return await self._store.subscription_bodies(ids)

    # -- lifetime --------------------------------------------------------------------------

    async def expire_channels(self, limit: int = 500) -> int:
        """End channels whose clock has run out (CH-43); how many were dealt with.

        The stored clock is a lower bound: a socket restarts its channel's clock in memory only
        (CH-41), and the true time is written when the stored one comes up. The removals of one
        call share their commits.
        """
        now = self._clock()
        found = await self._store.expired_channels(now, limit=limit)
        accounts = await self.accounts([user for user, _ in found])
        extended: list[Channel] = []
        failed: list[Channel] = []
        async with trio.open_nursery() as nursery:
            for account, (_, channel_id) in zip(accounts, found, strict=True):
                channel = account.channels.get(channel_id)
                if channel is not None and channel.is_over(now):
                    nursery.start_soon(self._expire, account, channel, failed)
                elif channel is not None:
                    extended.append(channel)
        if extended:
            self._store.extend_channels(extended)
        return len(found) - len(failed)

    async def _expire(self, account: Account, channel: Channel, failed: list[Channel]) -> None:
        try:
            await self.remove_channel(account, channel, outcome="expired")
        except StoreError as error:
            failed.append(channel)
            log.warning("channel.expiry_failed", channel_id=channel.id, reason=str(error))

    def clocks(self) -> list[Channel]:
        """Channels in memory whose clock may be newer than the stored one, for the end."""
        return [
            channel
            for account in self._known.values()
            for channel in account.channels.values()
            if channel.type is ChannelType.WEBSOCKETS
        ]
