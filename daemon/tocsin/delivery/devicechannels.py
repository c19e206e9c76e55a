"""Channels that share a device token: removed with it, and restored (push.md, PU-48, PU-49)."""

from collections.abc import Callable, Mapping, Sequence

from tocsin.delivery.account import Account, Accounts
from tocsin.model.channel import Channel, Device
from tocsin.model.errors import StoreError
from tocsin.model.subscription import Subscription
from tocsin.ops.metrics import Metrics
from tocsin.store.interface import Store
from tocsin.store.records import Ended, Removal, RemovedDevice


class DeviceChannels(Accounts):
    """Accounts that know what goes with a token. `on_removed` is told of channels that are gone."""

    def __init__(
        self, store: Store, *, most_cached: int, metrics: Metrics, clock: Callable[[], int]
    ) -> None:
        super().__init__(store, most_cached=most_cached, clock=clock)
        self._metrics = metrics
        self.on_removed: Callable[[Channel], None] = lambda _channel: None

    async def remove_device(
        self,
        device: Device,
        removal: Removal,
        then: Callable[[Ended, Sequence[Channel]], None],
        *,
        before: int,
    ) -> bool:
        """Remove all channels of a device token, whoever's; False, and nothing is done, if one was
        registered after `before` (PU-48, PU-50). Durable on return. `then` is told what ended, and
        the channels, in the commit's callback: who registers them next comes after."""
        found = await self._store.find_device(device)
        accounts = dict.fromkeys(await self.accounts([user for user, _ in found]))
        holders = [(account, one) for account in accounts for one in account.holders(device)]
        if any(registered_at(one)[0] > before for _, one in holders):
            return False
        reports = [take_out(who, [one], who.pointing_to(one)) for who, one in holders]

        def removed(ended: Ended | None, error: StoreError | None) -> None:
            for report in reports:
                report(error)
            if error is not None or ended is None:
                return
            for who, one in holders:
                # Somebody else may have failed to remove it meanwhile, and put it back.
                take_out(who, [one], who.pointing_to(one))(None)
            self._count_ended(ended, "refused")
            there = [one for _, one in holders if one.key in ended.channels]
            then(ended, there)
            for one in there:
                self.on_removed(one)

        if holders:
            await self._store.remove_devices([one for _, one in holders], removal, removed)
        return True

    async def restore_devices(self, removed: Sequence[RemovedDevice]) -> list[Channel]:
        """Bring back channels that went with their tokens, with their subscriptions, unless they
        have been registered anew; those that are back. Durable on return."""
        users = {one.channel.user for one in removed}
        users |= {owned.user for one in removed for owned, _ in one.subscriptions}
        accounts = {one.user: one for one in await self.accounts(sorted(users))}
        latest = {_registration(one.channel): one for one in removed}
        now = self._clock()
        back = [
            one
            for one in latest.values()
            if not _is_replaced(accounts[one.channel.user], one.channel, now)
        ]

        def restored(error: StoreError | None) -> None:
            if error is None:
                for one in back:
                    self._put_back(one, accounts)

        if back:
            await self._store.restore_devices(back, restored)
        return [one.channel for one in back]

    def _put_back(self, one: RemovedDevice, accounts: Mapping[str, Account]) -> None:
        host = accounts[one.channel.user]
        host.channels[one.channel.id] = one.channel
        self._metrics.channels[one.channel.type].inc()
        for subscription, _ in one.subscriptions:
            owner = accounts[subscription.user]
            owner.visit(host)
            owner.subscriptions[subscription.id] = subscription
            self._metrics.subscriptions[subscription.service].inc()

    def _count_ended(self, ended: Ended, outcome: str) -> None:
        for kind, count in ended.counts.items():
            self._metrics.deliveries[kind, outcome].inc(count)
        for kind in ended.channels.values():
            self._metrics.channels[kind].dec()
        for service, count in ended.subscriptions.items():
            self._metrics.subscriptions[service].dec(count)


def registered_at(channel: Channel) -> tuple[int, int]:
    """When a device's token was given, for which channel."""
    return (channel.device.registered_at if channel.device is not None else 0, channel.key)


def _registration(channel: Channel) -> tuple[str, str, str]:
    """What two of one device have in common (CH-74)."""
    app = "" if channel.device is None else channel.device.lane
    return (channel.user, app, channel.client_correlator)


def _is_replaced(account: Account, channel: Channel, now: int) -> bool:
    """Whether a channel that was removed has a successor."""
    device = channel.device
    return (
        channel.id in account.channels
        or account.same_app(channel, now) is not None
        or (device is not None and bool(account.holders(device)))
    )


def take_out(
    host: Account, channels: Sequence[Channel], pointers: Sequence[tuple[Account, Subscription]]
) -> Callable[[StoreError | None], None]:
    """Take channels and subscriptions to channels of `host` out of memory; returns what is to be
    told, once, whether the store did the same: if not, it puts back what was there and still has
    its channel."""
    there = [one for one in channels if host.channels.pop(one.id, None) is not None]
    for owner, one in pointers:
        owner.subscriptions.pop(one.id, None)
        owner.leave(host)
        owner.begin_change(one.id)

    def reported(error: StoreError | None) -> None:
        for owner, one in pointers:
            owner.end_change(one.id)
        if error is not None:
            put_back()

    def put_back() -> None:
        host.channels.update((one.id, one) for one in there)
        for owner, one in pointers:
            if one.channel.id in host.channels:
                owner.visit(host)
                owner.subscriptions[one.id] = one

    return reported
