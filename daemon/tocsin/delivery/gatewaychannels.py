"""The channels of gateway pushes: one for each app and device token (push.md, PU-23).

A channel is there as soon as somebody pushes to it, and is stored with the first push that is;
every acceptance until then carries it along, since any of them may be the first that the store
takes. Once a day a push writes down that the channel is in use.
"""

from collections.abc import Callable, Iterable

from tocsin.delivery.account import Account
from tocsin.delivery.settings import DeliveryLimits
from tocsin.model.channel import Channel, ChannelType, Device
from tocsin.model.errors import TocsinError
from tocsin.ops.metrics import Metrics
from tocsin.store.records import Acceptance

USE_EVERY = 86_400_000
CORRELATOR = "gateway"


class GatewayChannels:
    """Finds and makes them. Nothing here waits."""

    def __init__(
        self, *, limits: DeliveryLimits, metrics: Metrics, clock: Callable[[], int]
    ) -> None:
        self._limits = limits
        self._metrics = metrics
        self._clock = clock
        self._unconfirmed: dict[Channel, set[Acceptance]] = {}
        # Who writes down that a channel is in use, and since when that was known before.
        self._renewing: dict[Channel, tuple[Acceptance, int | None]] = {}

    def __len__(self) -> int:
        """How many are not known to be stored."""
        return len(self._unconfirmed)

    def open(self, account: Account, device: Device, acceptance: Acceptance) -> Channel:
        """The channel of this account, made if need be, and stored by the acceptance if that is
        not known to have happened. Nothing may be awaited from here until the store has that."""
        channel = next(iter(account.holders(device)), None) or self._make(account, device)
        under_way = self._unconfirmed.get(channel)
        if under_way is not None:
            if acceptance not in under_way:
                under_way.add(acceptance)
                acceptance.opening.append(channel)
        elif (now := self._clock()) - (channel.used_at or 0) >= USE_EVERY:
            self._renewing[channel] = (acceptance, channel.used_at)
            channel.used_at = now
            acceptance.opening.append(channel)
        return channel

    def settle(
        self, acceptance: Acceptance, accounts: Iterable[Account], error: TocsinError | None
    ) -> None:
        """The acceptance was stored, or was not: channels that no other one may still store are
        taken back then, and the next push writes down their use. `accounts` are those whose
        channels it opened."""
        of_user = {account.user: account for account in accounts} if error is not None else {}
        for channel in acceptance.opening:
            under_way = self._unconfirmed.get(channel)
            if under_way is None:
                self._settle_use(channel, acceptance, error)
                continue
            under_way.discard(acceptance)
            if error is None:
                del self._unconfirmed[channel]
            elif not under_way:
                del self._unconfirmed[channel]
                of_user[channel.user].channels.pop(channel.id, None)
        self._metrics.channels[ChannelType.OMAPUSH].inc(len(acceptance.opened))

    def _settle_use(
        self, channel: Channel, acceptance: Acceptance, error: TocsinError | None
    ) -> None:
        by, used_at = self._renewing.get(channel, (None, None))
        if by is acceptance:
            del self._renewing[channel]
            if error is not None:
                channel.used_at = used_at

    def _make(self, account: Account, device: Device) -> Channel:
        now = self._clock()
        kind = ChannelType.OMAPUSH
        id_ = Channel.new_id(kind)
        channel = Channel(id_, account.user, kind, now, CORRELATOR, device=device, used_at=now)
        # It is empty, and need not be counted to know that.
        channel.room, channel.room_bytes = self._limits.buffer_count, self._limits.buffer_bytes
        account.channels[id_] = channel
        self._unconfirmed[channel] = set()
        return channel
