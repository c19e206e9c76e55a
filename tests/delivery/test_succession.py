"""tocsin.delivery.succession: who is abandoned, who inherits, when it is looked at (CH-45)."""

import pytest
from tests.fakes.deliveries import (
    T0,
    device_channel,
    socket_channel,
    subscription,
    webhook_channel,
)

from tocsin.delivery import succession
from tocsin.delivery.account import Account
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
from tocsin.model.channel import Channel, ChannelType
from tocsin.model.subscription import Subscription
from tocsin.store.records import AccountRecord, Takeover

AFTER = 30_000
LATE = T0 + AFTER


def account_of(
    *channels: Channel, subscriptions: list[Subscription] | None = None, user: str = "u"
) -> Account:
    """An account with these channels, stored in this order."""
    for key, channel in enumerate(channels, 1):
        channel.key = key
    return Account(AccountRecord(user, list(channels), subscriptions or []))


def brief(takeovers: list[Takeover]) -> list[tuple[Subscription, Channel, int, bool]]:
    """What can be compared."""
    return [(one.subscription, one.heir, one.until, one.ends) for one in takeovers]


def gone(channel: Channel) -> Channel:
    """Its client said good-bye."""
    channel.left_cleanly = True
    return channel


# -- abandoned -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left_at", "cleanly", "now", "abandoned"),
    [
        (None, False, LATE, False),
        (T0, False, LATE - 1, False),
        (T0, False, LATE, True),
        (T0, True, T0, True),
    ],
)
@pytest.mark.parametrize("kind", [ChannelType.WEBSOCKETS, ChannelType.LONG_POLLING])
def test_abandoned_is_who_left_long_ago_or_said_good_bye(
    kind: ChannelType, left_at: int | None, cleanly: bool, now: int, abandoned: bool
) -> None:
    """Whoever is connected is not, however old (CH-45)."""
    channel = socket_channel(kind=kind)
    channel.left_at, channel.left_cleanly = left_at, cleanly
    assert is_abandoned(channel, now, after=AFTER) is abandoned


@pytest.mark.parametrize("channel", [webhook_channel(), device_channel()])
def test_nobody_abandons_what_is_called(channel: Channel) -> None:
    """Webhooks and devices never come to us."""
    assert not is_abandoned(gone(channel), LATE, after=AFTER)


# -- pairs ---------------------------------------------------------------------------------


def test_a_pair_is_of_one_client() -> None:
    """Same correlator, both polled types, alive; what is called is not of it."""
    first, second = socket_channel(), socket_channel(kind=ChannelType.LONG_POLLING)
    others = [socket_channel(correlator="else"), device_channel(correlator="device")]
    over = socket_channel(lifetime=60, now=T0 - 60_000)
    account = account_of(first, *others, over, second)
    assert pair_of(account, first, T0) == [first, second]
    assert older_than(account, second, T0) == [first]
    assert newer_than(account, first, T0) == [second]
    assert (older_than(account, first, T0), newer_than(account, second, T0)) == ([], [])
    assert pair_of(account, others[1], T0) == []


def test_age_survives_being_taken_back() -> None:
    """A channel put back after a failure is as old as before, though last in the table."""
    first, second = socket_channel(), socket_channel()
    account = account_of(first, second)
    account.channels[first.id] = account.channels.pop(first.id)
    assert older_than(account, second, T0) == [first]
    assert room_for(account, "device", LATE, after=AFTER) is first


def test_room_is_made_by_the_oldest_abandoned_of_the_client() -> None:
    """Nobody else's, and nobody who is here (CH-140)."""
    here, first, second = socket_channel(), gone(socket_channel()), gone(socket_channel())
    here.left_at = None
    account = account_of(gone(socket_channel(correlator="else")), here, first, second)
    assert room_for(account, "device", T0, after=AFTER) is first
    assert room_for(account, "nobody", T0, after=AFTER) is None


# -- what is inherited ---------------------------------------------------------------------


def test_a_new_subscription_inherits_its_own_kind() -> None:
    """Same service and filter, from older abandoned channels only."""
    old, here, new = gone(socket_channel()), socket_channel(), socket_channel()
    here.left_at = None
    same, other = subscription(old), subscription(old, destination="+1")
    account = account_of(
        old, here, new, subscriptions=[same, other, subscription(here), subscription(old, "chat")]
    )
    found = inherit(account, subscription(new), T0 + 5, after=AFTER)
    assert brief(found) == [(same, new, T0 + 5, False)]
    assert inherit(account, subscription(old), T0 + 5, after=AFTER) == []


def test_a_channel_ends_with_the_last_that_is_taken() -> None:
    """Of several, none before; and one at a time."""
    old, new = gone(socket_channel()), socket_channel()
    sms, chat = subscription(old), subscription(old, "chat")
    news = [subscription(new), subscription(new, "chat")]
    account = account_of(old, new, subscriptions=[sms, chat, *news])
    assert [one.ends for one in bequeath(account, old, LATE)] == [False, True]
    del account.subscriptions[chat.id]
    assert [one.ends for one in inherit(account, news[0], T0, after=AFTER)] == [True]


def test_a_guest_keeps_a_channel_from_ending() -> None:
    """Until a newer channel has the same of the same guest (CH-96)."""
    old, new = gone(socket_channel()), socket_channel()
    account = account_of(old, new, subscriptions=[subscription(old), subscription(new)])
    theirs = subscription(old, user="acct/proj")
    guest = Account(AccountRecord("acct/proj", [], [theirs]))
    guest.visit(account)
    assert [one.ends for one in bequeath(account, old, LATE)] == [False]
    again = subscription(new, user="acct/proj")
    assert brief(inherit(account, again, T0, after=AFTER)) == [(theirs, new, T0, False)]
    guest.subscriptions[again.id] = again
    assert [one.ends for one in bequeath(account, old, LATE)] == [False, True]


def test_the_newest_with_the_same_is_the_heir() -> None:
    """It gets what was accepted before it subscribed: of the rest it has its own."""
    old, middle, newest = socket_channel(), socket_channel(), socket_channel()
    mine = subscription(old)
    heirs = [subscription(middle), subscription(newest), subscription(newest, "chat")]
    for number, one in enumerate(heirs):
        one.created_at = T0 + number
    account = account_of(old, middle, newest, subscriptions=[mine, *heirs])
    assert brief(bequeath(account, old, LATE)) == [(mine, newest, T0 + 1, True)]
    assert bequeath(account, newest, LATE) == []


def test_what_no_heir_wants_stays() -> None:
    """A service the new page has not subscribed (yet)."""
    old, new = socket_channel(), socket_channel()
    account = account_of(old, new, subscriptions=[subscription(old), subscription(new, "chat")])
    assert bequeath(account, old, LATE) == []


# -- the waitlist --------------------------------------------------------------------------


def test_the_waitlist_gives_out_what_is_due_in_order() -> None:
    """Each once, at its time, not before."""
    waitlist, channels = Waitlist(), [socket_channel() for _ in range(3)]
    for due_at, channel in zip((T0 + 2, T0 + 9, T0 + 1), channels, strict=True):
        waitlist.add(channel, due_at)
    assert waitlist.due(T0) is None
    found = [waitlist.due(T0 + 2) for _ in range(3)]
    assert found == [("u", channels[2].id), ("u", channels[0].id), None]
    assert len(waitlist) == 1


def test_the_waitlist_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is left out keeps what he has."""
    monkeypatch.setattr(succession, "MOST_WAITING", 2)
    waitlist = Waitlist()
    for _ in range(5):
        waitlist.add(socket_channel(), T0)
    assert len(waitlist) == 2
