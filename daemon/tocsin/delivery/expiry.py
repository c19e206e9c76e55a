"""Channels and subscriptions that end by themselves."""

from collections.abc import Callable, Sequence
from functools import partial

from tocsin.delivery.account import Account
from tocsin.delivery.changes import side_by_side
from tocsin.delivery.directory import Directory
from tocsin.model.channel import Channel, ChannelType
from tocsin.store.interface import Store


class Expiry:
    """Finds in the store what is over, and has the directory end it.

    What one call ends, `limit` at most, shares its commits. What the store does not take is found
    again by the next.
    """

    def __init__(self, store: Store, directory: Directory, *, clock: Callable[[], int]) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        self._extended: set[int] = set()

    async def end_channels(self, limit: int = 500) -> int:
        """End channels whose clock has run out (CH-43); how many were dealt with.

        The stored clock is a lower bound: a socket restarts its channel's clock in memory only
        (CH-41), and the true time is written when the stored one comes up. One that comes up
        again at once was not written, and is not dealt with.
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

    async def end_unused(self, kind: ChannelType, before: int, limit: int = 500) -> int:
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

    async def end_subscriptions(self, limit: int = 500) -> int:
        """End subscriptions whose time is up (CH-95); how many were dealt with."""
        now = self._clock()
        found = await self._store.expired_subscriptions(now, limit=limit)
        accounts = await self._directory.accounts([user for user, _ in found])
        ending = {
            id_: partial(self._directory.unsubscribe, account, one)
            for account, (_, id_) in zip(accounts, found, strict=True)
            if (one := account.subscriptions.get(id_)) is not None and one.is_over(now)
        }
        return len(found) - await side_by_side("subscription.expiry_failed", ending)

    async def _channels(self, found: Sequence[tuple[str, str]]) -> list[tuple[Account, Channel]]:
        """The channels of these (user, id) that are still there."""
        accounts = await self._directory.accounts([user for user, _ in found])
        return [
            (account, channel)
            for account, (_, channel_id) in zip(accounts, found, strict=True)
            if (channel := account.channels.get(channel_id)) is not None
        ]

    async def _end_all(self, ending: Sequence[tuple[Account, Channel]], *, outcome: str) -> int:
        """Remove channels; how many the store did not take."""
        remove = self._directory.remove_channel
        return await side_by_side(
            "channel.expiry_failed",
            {
                channel.id: partial(remove, account, channel, outcome=outcome)
                for account, channel in ending
            },
        )
