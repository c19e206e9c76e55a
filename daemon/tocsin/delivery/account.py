"""Whose channels and subscriptions are in memory: one object per user and per channel.

Recent users are kept by a bounded table; a live session keeps its own account, and an account
whose subscriptions point to channels of others (CH-96) keeps theirs.
"""

import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence

from tocsin.model.channel import Channel, Device
from tocsin.model.subscription import Subscription
from tocsin.store.interface import Store
from tocsin.store.records import AccountRecord


class Account:
    """One user's channels and subscriptions; `hosts` own channels its subscriptions point to.

    `undecided` are ids of subscriptions that have come or gone here, while the store has not said
    yet whether they have there: how many such changes of each.
    """

    __slots__ = (
        *("__weakref__", "_guests"),
        *("channels", "hosts", "subscriptions", "undecided", "user"),
    )

    def __init__(self, record: AccountRecord) -> None:
        self.user = record.user
        self.channels = {channel.id: channel for channel in record.channels}
        self.subscriptions = {one.id: one for one in record.subscriptions}
        self.undecided: dict[str, int] = {}
        self.hosts: tuple[Account, ...] = ()
        self._guests: tuple[weakref.ref[Account], ...] = ()

    def channel(self, channel_id: str, now: int) -> Channel | None:
        """A living channel of this user."""
        channel = self.channels.get(channel_id)
        return None if channel is None or channel.is_over(now) else channel

    def living(self, now: int) -> list[Channel]:
        """All living channels, the oldest first."""
        living = [channel for channel in self.channels.values() if not channel.is_over(now)]
        return sorted(living, key=lambda channel: channel.key)

    def begin_change(self, subscription_id: str) -> None:
        """A subscription has come or gone; the store is asked to have it so now."""
        self.undecided[subscription_id] = self.undecided.get(subscription_id, 0) + 1

    def end_change(self, subscription_id: str) -> None:
        """The store has done so, or refused."""
        self.undecided[subscription_id] -= 1
        if not self.undecided[subscription_id]:
            del self.undecided[subscription_id]

    def premises(self) -> dict[str, bool]:
        """On what somebody relies who finds out now who gets a notification, while the store may
        still refuse it: by id, whether a subscription is there."""
        return {id_: id_ in self.subscriptions for id_ in self.undecided}

    def subscriptions_of(self, channel: Channel) -> list[Subscription]:
        """Its subscriptions that point to a channel."""
        return [one for one in self.subscriptions.values() if one.channel is channel]

    def pointing_to(self, channel: Channel) -> "list[tuple[Account, Subscription]]":
        """The subscriptions in memory that point to a channel of this user, and whose they are."""
        guests = [guest for ref in self._guests if (guest := ref()) is not None]
        return [
            (account, one)
            for account in (self, *guests)
            for one in account.subscriptions_of(channel)
        ]

    def visit(self, host: "Account") -> None:
        """A subscription of this account points to a channel of another."""
        if host is not self and host not in self.hosts:
            self.hosts += (host,)
            host._guests = (*(ref for ref in host._guests if ref() is not None), weakref.ref(self))

    def leave(self, host: "Account") -> None:
        """Let go of another account once no subscription points to a channel of it."""
        if host is self or any(
            one.channel.user == host.user for one in self.subscriptions.values()
        ):
            return
        self.hosts = tuple(one for one in self.hosts if one is not host)
        host._guests = tuple(ref for ref in host._guests if ref() not in {None, self})

    def same_app(self, wanted: Channel, now: int) -> Channel | None:
        """The living channel a POST of this one stands for again (CH-74, CH-80)."""
        for one in self.channels.values():
            if (
                one.client_correlator == wanted.client_correlator
                and (_same_webhook(one, wanted) or _same_device(one, wanted))
                and not one.is_over(now)
            ):
                return one
        return None

    def holders(self, device: Device) -> list[Channel]:
        """The channels with this provider, app and token."""
        return [
            one
            for one in self.channels.values()
            if one.device is not None
            and (one.device.provider, one.device.app, one.device.token)
            == (device.provider, device.app, device.token)
        ]


class Accounts:
    """Finds accounts, in memory or in the store."""

    def __init__(self, store: Store, *, most_cached: int, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock
        self._most_cached = most_cached
        self._started_at = clock()
        self._recent: OrderedDict[str, Account] = OrderedDict()
        self._known: weakref.WeakValueDictionary[str, Account] = weakref.WeakValueDictionary()
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
        found = {user: account for user in users if (account := self.cached(user)) is not None}
        missing = [user for user in dict.fromkeys(users) if user not in found]
        if missing:
            await self._load(missing, found)
        return [found[user] for user in users]

    async def _load(self, missing: Sequence[str], found: dict[str, Account]) -> None:
        """Add these accounts to those found, and all whose channels they point to."""
        records: dict[str, AccountRecord] = {}
        while missing:
            loaded = await self._store.load_accounts(missing)
            records.update((record.user, record) for record in loaded)
            missing = self._hosts_missing(loaded, records, found)
        fresh = []
        for user, record in records.items():
            # Another task may have loaded it meanwhile: its object is the one.
            account = self.cached(user)
            if account is None:
                account = self._take_in(record)
                fresh.append(account)
            found[user] = account
        for account in fresh:
            _point_home(account, found)
            self.on_loaded(account)

    def _hosts_missing(
        self,
        loaded: Iterable[AccountRecord],
        records: Mapping[str, AccountRecord],
        found: dict[str, Account],
    ) -> list[str]:
        owners = {one.channel.user for record in loaded for one in record.subscriptions}
        for user in owners - records.keys() - found.keys():
            account = self.cached(user)
            if account is not None:
                found[user] = account
        return sorted(owners - records.keys() - found.keys())

    def _take_in(self, record: AccountRecord) -> Account:
        for channel in record.channels:
            # Nobody could come before we were there.
            channel.left_at = max(channel.created_at, self._started_at)
        account = Account(record)
        self._known[record.user] = account
        self._keep(account)
        return account

    def _keep(self, account: Account) -> None:
        self._recent[account.user] = account
        if len(self._recent) > self._most_cached:
            self._recent.popitem(last=False)


def _point_home(account: Account, accounts: Mapping[str, Account]) -> None:
    """Have subscriptions to channels of others point to the one object of each."""
    for one in list(account.subscriptions.values()):
        if one.channel.user == account.user:
            continue
        host = accounts[one.channel.user]
        channel = host.channels.get(one.channel.id)
        if channel is None:
            del account.subscriptions[one.id]
        else:
            one.channel = channel
            account.visit(host)


def _same_webhook(one: Channel, wanted: Channel) -> bool:
    old, new = one.webhook, wanted.webhook
    if old is None or new is None:
        return False
    return (old.url, old.authorization) == (new.url, new.authorization)


def _same_device(one: Channel, wanted: Channel) -> bool:
    old, new = one.device, wanted.device
    if old is None or new is None:
        return False
    return (old.provider, old.app) == (new.provider, new.app)
