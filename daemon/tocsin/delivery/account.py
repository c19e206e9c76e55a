"""Whose channels and subscriptions are in memory: one object per user and per channel.

Recent users are kept by a bounded table; a live session keeps its own account, and an account
whose subscriptions point to channels of others (CH-96) keeps theirs.
"""

import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from tocsin.model.channel import Channel
from tocsin.model.subscription import Subscription
from tocsin.store.interface import AccountRecord, Store


class Account:
    """One user's channels and subscriptions; `hosts` own channels its subscriptions point to."""

    __slots__ = ("__weakref__", "channels", "hosts", "subscriptions", "user")

    def __init__(self, record: AccountRecord) -> None:
        self.user = record.user
        self.channels = {channel.id: channel for channel in record.channels}
        self.subscriptions = {one.id: one for one in record.subscriptions}
        self.hosts: tuple[Account, ...] = ()

    def channel(self, channel_id: str, now: int) -> Channel | None:
        """A living channel of this user."""
        channel = self.channels.get(channel_id)
        return None if channel is None or channel.is_over(now) else channel

    def living(self, now: int) -> list[Channel]:
        """All living channels, the oldest first."""
        return [channel for channel in self.channels.values() if not channel.is_over(now)]

    def subscriptions_of(self, channel: Channel) -> list[Subscription]:
        """The subscriptions that point to a channel."""
        return [one for one in self.subscriptions.values() if one.channel is channel]


class Accounts:
    """Finds accounts, in memory or in the store."""

    def __init__(self, store: Store, *, most_cached: int, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock
        self._most_cached = most_cached
        self._started_at = clock()
        self._recent: OrderedDict[str, Account] = OrderedDict()
        self._known: weakref.WeakValueDictionary[str, Account] = weakref.WeakValueDictionary()
        self._guests: weakref.WeakSet[Account] = weakref.WeakSet()
        self.on_loaded: Callable[[Account], None] = lambda _account: None

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

    def all_known(self) -> Iterable[Account]:
        """Every account in memory."""
        return list(self._known.values())

    async def account(self, user: str) -> Account:
        """The account of a user; an empty one for a user nobody has heard of."""
        return self.cached(user) or (await self.accounts([user]))[0]

    async def accounts(self, users: Sequence[str]) -> list[Account]:
        """The accounts of many users, loading all that are missing in one go."""
        found = {user: self.cached(user) for user in users}
        missing = [user for user, account in found.items() if account is None]
        if missing:
            records = await self._store.load_accounts(missing)
            hosts = await self._hosts(records)
            for record in records:
                # Another task may have loaded it meanwhile: its object is the one.
                found[record.user] = self.cached(record.user) or self._take_in(record, hosts)
        return [account for user in users if (account := found[user]) is not None]

    def visit(self, guest: Account, host: Account) -> None:
        """A subscription of one account points to a channel of another."""
        if guest is not host and host not in guest.hosts:
            guest.hosts += (host,)
            self._guests.add(guest)

    def guests(self, channel: Channel) -> list[tuple[Account, Subscription]]:
        """Subscriptions of other accounts in memory that point to a channel."""
        return [
            (guest, one)
            for guest in list(self._guests)
            if guest.user != channel.user
            for one in guest.subscriptions_of(channel)
        ]

    async def _hosts(self, records: Sequence[AccountRecord]) -> dict[str, Account]:
        """The accounts whose channels these records' subscriptions point to."""
        owners = {
            one.channel.user
            for record in records
            for one in record.subscriptions
            if one.channel.user != record.user
        }
        hosts = await self.accounts(sorted(owners)) if owners else []
        return {host.user: host for host in hosts}

    def _take_in(self, record: AccountRecord, hosts: dict[str, Account]) -> Account:
        for channel in record.channels:
            # Nobody could come before we were there.
            channel.left_at = max(channel.created_at, self._started_at)
        account = Account(record)
        for one in record.subscriptions:
            if one.channel.user != record.user:
                self._point_home(account, one, hosts[one.channel.user])
        self._known[record.user] = account
        self._keep(account)
        self.on_loaded(account)
        return account

    def _point_home(self, account: Account, one: Subscription, host: Account) -> None:
        channel = host.channels.get(one.channel.id)
        if channel is None:
            del account.subscriptions[one.id]
            return
        one.channel = channel
        self.visit(account, host)

    def _keep(self, account: Account) -> None:
        self._recent[account.user] = account
        if len(self._recent) > self._most_cached:
            self._recent.popitem(last=False)
