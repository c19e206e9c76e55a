"""The rules of `tocsin.store.archive`, for every store: looking back, and clearing up."""

from typing import Any

import attrs
import pytest
import trio
from tests.fakes.deliveries import (
    HOOK,
    T0,
    WEEK,
    device_channel,
    notification,
    socket_channel,
    webhook_channel,
)
from tests.fakes.stores import WEBHOOKS, OpenStore, Reports, accept, add, claim, claimed_ids, letter

from tocsin.model.channel import Channel
from tocsin.store.archive import LetterQuery, LogQuery, Page
from tocsin.store.records import Acceptance, Attempt, Settlements
from tocsin.store.sqlite import SqliteStore


@pytest.fixture
async def store(open_store: OpenStore, nursery: trio.Nursery) -> SqliteStore:
    """An empty store that runs."""
    opened = open_store()
    await nursery.start(opened.run)
    return opened


EVERY = LetterQuery()


def attempt(number: int, **members: object) -> Attempt:
    """A line of the log."""
    line = Attempt(
        delivery=number << 16,
        notification_id=f"n{number}",
        user="u",
        channel_id="wh-1",
        type=WEBHOOKS,
        at=T0 + number,
        number=1,
        result="delivered",
        latency_ms=7,
        status=200,
    )
    return attrs.evolve(line, **members)  # type: ignore[arg-type]


async def log(store: SqliteStore, *attempts: Attempt) -> None:
    """Append to the log."""
    await store.settle(Settlements(attempts=list(attempts)), now=T0)


async def read(
    store: SqliteStore,
    *,
    before: int | None = None,
    limit: int = 100,
    look: int = 1000,
    **query: Any,
) -> Page[str]:
    """The notifications of a page of the log."""
    page = await store.read_log(LogQuery(**query), before=before, limit=limit, look=look)
    return Page([one.notification_id for one in page.items], page.next)


# -- the delivery log ----------------------------------------------------------------------


async def test_an_attempt_is_kept_as_it_was(store: SqliteStore) -> None:
    """Every field comes back, with what has no value too (delivery log)."""
    whole = attempt(1, result="deferred", reason="HTTP 500", status=500, excerpt=b"\xff" * 2048)
    bare = attempt(2, result="expired", latency_ms=None, status=None)
    await log(store, whole, bare)
    page = await store.read_log(LogQuery(user="u"), before=None, limit=10, look=100)
    assert [attrs.asdict(one) for one in page.items] == [attrs.asdict(bare), attrs.asdict(whole)]
    assert page.next is None


async def test_attempts_are_written_with_what_became_of_the_delivery(store: SqliteStore) -> None:
    """One settlement, one transaction: the delivery is over and its line is there."""
    channel = webhook_channel()
    await add(store, channel)
    await accept(store, (notification("a"), [channel]))
    [one] = await claim(store)
    line = attempt(0, delivery=one.id, notification_id="a")
    settled = await store.settle(Settlements(finished=[one.id], attempts=[line]), now=T0)
    assert settled.ended == {WEBHOOKS: 1}
    assert (await read(store, notification_id="a")).items == ["a"]


async def test_the_log_by_channel_user_and_notification(store: SqliteStore) -> None:
    """Each question gets its own lines, several at once those that match all."""
    await log(
        store,
        attempt(1),
        attempt(2, channel_id="wh-2"),
        attempt(3, user="v"),
        attempt(4, user="v", channel_id="wh-2"),
    )
    assert (await read(store, channel_id="wh-1")).items == ["n3", "n1"]
    assert (await read(store, user="v")).items == ["n4", "n3"]
    assert (await read(store, notification_id="n2")).items == ["n2"]
    assert (await read(store, notification_ids=["n4", "n1", "n9"])).items == ["n4", "n1"]
    assert (await read(store, notification_ids=[])) == Page([], None)
    assert (await read(store, user="v", channel_id="wh-2")).items == ["n4"]
    assert (await read(store, user="nobody")) == Page([], None)


async def test_pages_of_the_log(store: SqliteStore) -> None:
    """Pages join without gap or repeat, also where a page found nothing in what it looked at, and
    end (SE-5: a bounded look, whatever is asked)."""
    await log(store, *(attempt(n, user="rare" if n in {3, 50} else "u") for n in range(1, 101)))
    found: list[str] = []
    before, pages = None, 0
    while True:
        page = await read(store, user="rare", before=before, look=10)
        found += page.items
        pages += 1
        if page.next is None:
            break
        assert before is None or page.next < before
        before = page.next
    assert (found, pages) == (["n50", "n3"], 10)
    first = await read(store, user="u", limit=40)
    second = await read(store, user="u", limit=40, before=first.next)
    third = await read(store, user="u", limit=40, before=second.next)
    numbers = [f"n{n}" for n in range(100, 0, -1) if n not in {3, 50}]
    assert [*first.items, *second.items, *third.items] == numbers
    assert third.next is None


async def test_pruning_the_log(store: SqliteStore) -> None:
    """The oldest lines go when they are too old, or too many, a slice at a time."""
    await log(store, *(attempt(n) for n in range(1, 101)))
    assert await store.prune_attempts(T0 + 11, keep=1000, limit=7) == 7
    assert await store.prune_attempts(T0 + 11, keep=1000, limit=7) == 3
    assert await store.prune_attempts(T0 + 11, keep=1000, limit=7) == 0
    assert await store.prune_attempts(T0, keep=85, limit=100) == 5
    assert len((await read(store, user="u")).items) == 85
    assert await store.prune_attempts(T0 + WEEK, keep=85, limit=1000) == 85
    assert await read(store, user="u") == Page([], None)


async def test_delivery_ids_are_not_given_twice(
    open_store: OpenStore, nursery: trio.Nursery
) -> None:
    """A restart does not give the id of a delivery that only the log remembers to another."""
    first = open_store()
    await nursery.start(first.run)
    channel = webhook_channel()
    await add(first, channel)
    [old] = await accept(first, (notification("a"), [channel]))
    [one] = await claim(first)
    await first.settle(Settlements(finished=[one.id], attempts=[attempt(0, delivery=old)]), now=T0)
    second = open_store()
    await nursery.start(second.run)
    [new] = await accept(second, (notification("b"), [channel]))
    assert new > old


async def test_expiry_leaves_a_line(store: SqliteStore) -> None:
    """What expires without an attempt is in the log, a socket's too."""
    channel, socket = webhook_channel(), socket_channel()
    await add(store, channel, socket)
    await accept(store, (notification("a", expires_in=10), [channel, socket]))
    await store.expire_deliveries(T0 + 11, limit=10, keep=[WEBHOOKS])
    page = await store.read_log(LogQuery(notification_id="a"), before=None, limit=10, look=100)
    assert {(one.channel_id, one.result, one.at, one.latency_ms) for one in page.items} == {
        (channel.id, "expired", T0 + 11, None),
        (socket.id, "expired", T0 + 11, None),
    }


# -- what is pending -----------------------------------------------------------------------


async def test_find_pending(store: SqliteStore) -> None:
    """All legs of a notification that are not over, as they are, in bounded looks."""
    channel, socket = webhook_channel(), socket_channel()
    await add(store, channel, socket)
    for n in range(20):
        await accept(store, (notification(f"other {n}"), [socket]))
    await accept(store, (notification("a"), [channel, socket]))
    await claim(store)
    found = []
    after: int | None = 0
    looks = 0
    while after is not None:
        page = await store.find_pending("a", after=after, look=6)
        found += page.items
        after = page.next
        looks += 1
    assert looks == 4
    hook, other = found
    assert (hook.channel_id, hook.type, hook.lane, hook.attempts) == (channel.id, WEBHOOKS, HOOK, 1)
    assert (hook.held, hook.due_at, hook.notification.id) == (True, None, "a")
    assert (other.channel_id, other.lane, other.held, other.seq) == (socket.id, None, False, None)


# -- dead letters --------------------------------------------------------------------------


async def bury(store: SqliteStore, channel: Channel, *ids: str, died_at: int = T0) -> list[int]:
    """Dead letters of these notifications, one a millisecond; the ids of their deliveries."""
    entries = [(notification(id_, user=channel.user), [channel]) for id_ in ids]
    await accept(store, *entries)
    claimed = {one.notification.id: one for one in await claim(store)}
    letters = [letter(claimed[id_], died_at=died_at + n) for n, id_ in enumerate(ids)]
    await store.settle(Settlements(dead=letters), now=died_at)
    return [one.id for one in letters]


async def dead(store: SqliteStore, query: LetterQuery = EVERY, **how: object) -> list[str]:
    """The notifications of dead letters."""
    options = {"after": None, "oldest_first": False, "limit": 100, **how}
    letters = await store.dead_letters(query, **options)  # type: ignore[arg-type]
    return [one.notification.id for one in letters]


async def test_dead_letters_by_their_death(store: SqliteStore) -> None:
    """Latest first or oldest first, joined by place, each filter alone and together."""
    mine, other = webhook_channel(), webhook_channel("v")
    await add(store, mine, other)
    await bury(store, mine, "a", "b", "c")
    await bury(store, other, "d", died_at=T0 + 10)
    assert await dead(store) == ["d", "c", "b", "a"]
    assert await dead(store, oldest_first=True, limit=2) == ["a", "b"]
    [_, second] = await store.dead_letters(LetterQuery(), after=None, oldest_first=True, limit=2)
    place = (second.died_at, second.id)
    assert await dead(store, after=place, oldest_first=True) == ["c", "d"]
    assert await dead(store, after=place) == ["a"]
    assert await dead(store, LetterQuery(channel_id=other.id)) == ["d"]
    assert await dead(store, LetterQuery(user="u", since=T0 + 1)) == ["c", "b"]
    assert await dead(store, LetterQuery(until=T0 + 1)) == ["b", "a"]
    assert await dead(store, LetterQuery(notification_id="c")) == ["c"]
    assert await dead(store, LetterQuery(ids=())) == []


async def test_a_dead_letter_is_kept_as_it_was(store: SqliteStore) -> None:
    """With its notification, its reason and its status."""
    channel = webhook_channel()
    await add(store, channel)
    [id_] = await bury(store, channel, "a")
    [found] = await store.dead_letters(
        LetterQuery(ids=[id_]), after=None, oldest_first=True, limit=1
    )
    original = notification("a")
    assert (found.channel_id, found.type, found.attempts) == (channel.id, WEBHOOKS, 1)
    assert (found.died_at, found.reason, found.status) == (T0, "HTTP 500", 500)
    assert attrs.asdict(found.notification) == attrs.asdict(original)


async def test_purging(store: SqliteStore) -> None:
    """Only what was asked for goes, the oldest first, at most so many; how many of each type."""
    mine, other = webhook_channel(), webhook_channel("v")
    await add(store, mine, other)
    await bury(store, mine, "a", "b", "c")
    await bury(store, other, "d")
    assert await store.purge_dead_letters(LetterQuery(channel_id=mine.id), limit=2) == {WEBHOOKS: 2}
    assert await dead(store) == ["c", "d"]
    assert await store.purge_dead_letters(LetterQuery(user="x"), limit=2) == {}
    assert (await store.counts()).dead == {WEBHOOKS: 2}


async def test_a_replay_takes_the_letters_place(store: SqliteStore) -> None:
    """The delivery is there and the letter is gone, in one transaction; of two replays of one
    letter one does nothing and is told so."""
    channel = webhook_channel()
    await add(store, channel)
    [id_] = await bury(store, channel, "a")
    reports = []
    for _ in range(2):
        acceptance = Acceptance(replays={0: id_})
        acceptance.add(notification("a"), [channel])
        await store.accept(acceptance, Reports())
        reports.append(dict(acceptance.repeats))
    assert reports == [{}, {0: 0}]
    assert await dead(store) == []
    assert store.backlog == 1
    assert await claimed_ids(store) == ["a"]


# -- channels and lanes --------------------------------------------------------------------


async def test_owners(store: SqliteStore) -> None:
    """Whose a channel is, found by its id alone."""
    mine, other = webhook_channel(), socket_channel("v")
    await add(store, mine, other)
    assert await store.owners([mine.id, other.id, "ws-gone"]) == {mine.id: "u", other.id: "v"}


async def test_all_channels(store: SqliteStore) -> None:
    """Everybody's, the youngest first, by type, in pages of a bounded look."""
    channels = [
        webhook_channel(f"u{n}") if n % 10 == 3 else socket_channel(f"u{n}") for n in range(30)
    ]
    await add(store, *channels)
    page = await store.all_channels(None, before=None, limit=20, look=1000)
    rest = await store.all_channels(None, before=page.next, limit=20, look=1000)
    assert [one.user for one in page.items + rest.items] == [f"u{n}" for n in range(29, -1, -1)]
    assert rest.next is None
    found: list[str] = []
    before: int | None = None
    while True:
        some = await store.all_channels(WEBHOOKS, before=before, limit=20, look=7)
        found += [one.user for one in some.items]
        before = some.next
        if before is None:
            break
    assert found == ["u23", "u13", "u3"]


async def test_lane_backlogs(store: SqliteStore) -> None:
    """What could be claimed of each lane, counted no further than asked."""
    hook, phone = webhook_channel(), device_channel()
    await add(store, hook, phone)
    for n in range(5):
        await accept(store, (notification(f"h{n}"), [hook]))
    await accept(store, (notification("p"), [phone]))
    names = [HOOK, "apns/com.example.app", "https://idle:443"]
    counted = await store.lane_backlogs(names, most=4)
    assert counted == {HOOK: 4, "apns/com.example.app": 1, "https://idle:443": 0}
