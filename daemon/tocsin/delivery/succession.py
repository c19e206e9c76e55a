"""Abandoned channels make way for newer ones of the same client (channels.md, CH-45, CH-140).

A page that is reloaded creates a new channel under its old correlator and never comes back to
the old one. What waited there goes to the new one, so that a call still rings. Two tabs share a
correlator too: a channel whose client is here is never touched.

Everything here decides only, on accounts and the time in milliseconds.
"""

import heapq

from tocsin.delivery.account import Account
from tocsin.model.channel import Channel
from tocsin.model.subscription import Subscription
from tocsin.store.records import Takeover

MOST_WAITING = 100_000


def is_abandoned(channel: Channel, now: int, *, after: int) -> bool:
    """Its client said good-bye, or has had neither socket nor poll for `after` milliseconds."""
    return (
        channel.type.is_polled
        and channel.left_at is not None
        and (channel.left_cleanly or now - channel.left_at >= after)
    )


def pair_of(account: Account, channel: Channel, now: int) -> list[Channel]:
    """The living channels of the same client that come to us, `channel` too, oldest first."""
    if not channel.type.is_polled:
        return []
    return [
        one
        for one in account.living(now)
        if one.type.is_polled and one.client_correlator == channel.client_correlator
    ]


def older_than(account: Account, channel: Channel, now: int) -> list[Channel]:
    """The older ones of the pair."""
    pair = pair_of(account, channel, now)
    return pair[: pair.index(channel)] if channel in pair else []


def newer_than(account: Account, channel: Channel, now: int) -> list[Channel]:
    """The newer ones of the pair."""
    pair = pair_of(account, channel, now)
    return pair[pair.index(channel) + 1 :] if channel in pair else []


def room_for(account: Account, correlator: str, now: int, *, after: int) -> Channel | None:
    """The oldest abandoned channel of a client, which makes room at the quota (CH-140)."""
    for one in account.living(now):
        if one.client_correlator == correlator and is_abandoned(one, now, after=after):
            return one
    return None


def inherit(host: Account, subscription: Subscription, now: int, *, after: int) -> list[Takeover]:
    """What a channel of `host` takes over as it gains a subscription."""
    return _takeovers(
        host,
        [
            (one, subscription.channel, now)
            for old in older_than(host, subscription.channel, now)
            if is_abandoned(old, now, after=after)
            for _, one in host.pointing_to(old)
            if _kind(one) == _kind(subscription)
        ],
    )


def bequeath(host: Account, old: Channel, now: int) -> list[Takeover]:
    """What newer channels take over from one that is abandoned now: for each subscription the
    newest that has the same. It has had its own of everything accepted since it subscribed."""
    heirs = {
        _kind(one): one
        for newer in newer_than(host, old, now)
        for _, one in host.pointing_to(newer)
    }
    return _takeovers(
        host,
        [
            (one, heir.channel, heir.created_at)
            for _, one in host.pointing_to(old)
            if (heir := heirs.get(_kind(one))) is not None
        ],
    )


def _kind(one: Subscription) -> tuple[str, object]:
    """Whose notifications, and which of them."""
    return (one.user, one.filter)


def _takeovers(host: Account, found: list[tuple[Subscription, Channel, int]]) -> list[Takeover]:
    """The last one of a channel left without any subscription ends it."""
    left = {one.channel.id: len(host.pointing_to(one.channel)) for one, _, _ in found}
    takeovers = []
    for one, heir, until in found:
        left[one.channel.id] -= 1
        takeovers.append(Takeover(one, heir, until, ends=not left[one.channel.id]))
    return takeovers


class Waitlist:
    """Channels to be looked at when they may be abandoned: (user, id), by time.

    At most so many: a channel that is left out keeps what it has until its clock runs out.
    """

    def __init__(self) -> None:
        self._entries: list[tuple[int, str, str]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, channel: Channel, due_at: int) -> None:
        """Look at this channel then."""
        if len(self._entries) < MOST_WAITING:
            heapq.heappush(self._entries, (due_at, channel.user, channel.id))

    def due(self, now: int) -> tuple[str, str] | None:
        """Take out the first that is due."""
        if not self._entries or self._entries[0][0] > now:
            return None
        _, user, channel_id = heapq.heappop(self._entries)
        return user, channel_id
