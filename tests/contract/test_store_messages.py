"""The rules of `tocsin.store.messages`: what one act writes, and Logs."""

import pytest
import trio
from tests.fakes.deliveries import T0, notification, socket_channel, webhook_channel
from tests.fakes.mail import DOMAIN, Postbox, brief, load, text
from tests.fakes.stores import (
    OpenStore,
    Reports,
    add,
    assert_counts_are_right,
    claimed_ids,
    waiting,
)
from trio.testing import wait_all_tasks_blocked

from tocsin.model.errors import StoreError
from tocsin.store.mail import LogPage, LogState, Mail, Posted
from tocsin.store.messages import Messages
from tocsin.store.records import Acceptance
from tocsin.store.sqlite import SqliteStore
from tocsin.wire.messaging.rendered import rendered


@pytest.fixture
async def post(open_store: OpenStore, nursery: trio.Nursery) -> Postbox:
    """An empty store that runs."""
    opened = open_store()
    await nursery.start(opened.run)
    return Postbox(opened)


# -- one act -------------------------------------------------------------------------------


async def test_a_message_is_in_both_logs(post: Postbox) -> None:
    """Each gets the next number of his own Log, the sender with his dedupe-id (MS-46, MS-47,
    MS-60); whoever is told is told the same as is read later."""
    ann, bob, cid = (post.person(name) for name in ("ann", "bob", "cid"))
    await post.send(ann, bob, "one", dedupe_id="k1")
    await post.send(cid, bob, "two")
    assert (await post.log(ann), await post.log(bob)) == (["one"], ["one", "two"])
    [own] = (await post.page(ann)).entries
    assert text(own)["dedupe-id"] == "k1"
    assert own.is_letter
    assert all("dedupe-id" not in text(one) for one in (await post.page(bob)).entries)
    for who in (ann, bob, cid):
        stored = (await post.page(who)).entries
        told = [one for one in post.told if one.subscriber_key == who.key]
        assert [(one.seq, text(one)) for one in told] == [(one.seq, text(one)) for one in stored]


async def test_told_before_whoever_asked(post: Postbox) -> None:
    """On commit, and before the one who waits for it (MS-46)."""
    order: list[str] = []
    post.store.on_posted = lambda posted: order.append("".join(str(one.seq) for one in posted))
    mail = post.mail(post.person("ann"), post.person("bob"))
    await post.store.accept(Acceptance(mail=mail), lambda _error: order.append("done"))
    assert order == ["11", "done"]


async def test_everybody_is_stored_along(post: Postbox) -> None:
    """Who was not stored is; who was not known stays so until he is (MS-26)."""
    ann, bob = post.person("ann"), post.person("bob")
    bob.is_known = False
    assert not ann.is_stored
    await post.send(ann, bob)
    assert ann.is_stored
    wanted = ["ann", "bob", "nobody"]
    assert await post.store.find_subscribers(DOMAIN, wanted) == {
        "ann": (ann.key, True),
        "bob": (bob.key, False),
    }
    assert await post.store.find_subscribers("other", wanted) == {}
    bob.is_known = True
    await post.send(ann, bob)
    bob.is_known = False
    await post.send(ann, bob)
    assert await post.store.find_subscribers(DOMAIN, ["bob"]) == {"bob": (bob.key, True)}


async def test_many_at_once(post: Postbox) -> None:
    """What shares a commit is numbered in the order it was asked for (MS-21, MS-27)."""
    ann, bob = post.person("ann"), post.person("bob")
    mails = [post.mail(ann, bob, str(number)) for number in range(40)]
    async with trio.open_nursery() as nursery:
        for mail in mails:
            # Submitted in this order, as each starts; all of them wait together.
            nursery.start_soon(post.post, mail)
            await wait_all_tasks_blocked()
    expected = [str(number) for number in range(40)]
    assert (await post.log(ann), await post.log(bob)) == (expected, expected)
    assert post.heard(bob) == expected


async def test_all_or_nothing(post: Postbox) -> None:
    """An entry for somebody who is not stored refuses its whole act, and no other (MS-46)."""
    ann, bob = post.person("ann"), post.person("bob")
    await post.send(ann, bob)
    bad = post.mail(ann, bob, "bad")
    bad.entries.append(Posted(999, rendered("delivery", {"x": 1})))
    good = post.mail(ann, bob, "good")
    reports = Reports()
    async with trio.open_nursery() as nursery:
        for mail in (bad, good):
            nursery.start_soon(_accept_or_fail, post.store, mail, reports)
            await wait_all_tasks_blocked()
    assert [error is None for error in reports.errors] == [False, True]
    assert (await post.log(ann), await post.log(bob)) == (["hi", "good"], ["hi", "good"])
    assert bad.letter is not None
    assert await post.store.find_message(DOMAIN, bad.letter.id) is None
    assert post.heard(bob) == ["hi", "good"]


async def _accept_or_fail(store: SqliteStore, mail: Mail, reports: Reports) -> None:
    try:
        await store.accept(Acceptance(mail=mail), reports)
    except StoreError:
        return


async def test_rendered_when_asked(post: Postbox) -> None:
    """What changes in memory after an act is not what that act stores."""
    ann, bob = post.person("ann"), post.person("bob")
    room = await post.room(ann, bob)
    mail = post.mail(ann, room)
    reports = Reports()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(post.store.accept, Acceptance(mail=mail), reports)
        await wait_all_tasks_blocked()
        mail.entries[1].subscriber_key = 999
    assert reports.errors == [None]
    assert await post.log(bob) == ["hi"]


# -- dedupe-id -----------------------------------------------------------------------------


async def test_a_repeat_stores_nothing(post: Postbox) -> None:
    """It is told the first message-id, whatever else it says, and nothing else comes of it: no
    entry, no notification, no count (MS-25)."""
    ann, bob, cid = (post.person(name) for name in ("ann", "bob", "cid"))
    hook = webhook_channel()
    await add(post.store, hook)
    first = await post.send(ann, bob, "one", dedupe_id="k", notified={bob: [hook]})
    post.told.clear()
    mail = post.mail(ann, cid, "two", dedupe_id="k")
    mail.entries[1].notification = 0
    acceptance = Acceptance()
    acceptance.add(notification("second"), [hook])
    await post.post(mail, acceptance)
    assert mail.repeat == first
    assert list(acceptance.fresh()) == []
    assert acceptance.repeats == {}
    assert (post.told, await post.log(ann), await post.log(cid)) == ([], ["one"], [])
    assert not cid.is_stored
    await assert_counts_are_right(post.store, webhooks=1)
    assert len(await claimed_ids(post.store)) == 1


async def test_a_repeat_within_one_commit(post: Postbox) -> None:
    """Of two that are stored together the later one is the repeat; other senders' ids are their
    own (MS-25)."""
    ann, bob = post.person("ann"), post.person("bob")
    mails = [post.mail(ann, bob, text, dedupe_id="k") for text in ("one", "two")]
    mails.append(post.mail(bob, ann, "three", dedupe_id="k"))
    async with trio.open_nursery() as nursery:
        for mail in mails:
            nursery.start_soon(post.post, mail)
            await wait_all_tasks_blocked()
    assert mails[0].letter is not None
    assert [mail.repeat for mail in mails] == [None, mails[0].letter.id, None]
    assert await post.log(bob) == ["one", "three"]


async def test_dedupe_ids_are_forgotten(post: Postbox) -> None:
    """After a day the same id is a new message; so are strangers (MS-25, MS-26)."""
    ann, bob = post.person("ann"), post.person("bob")
    mail = post.mail(ann, bob, dedupe_id="k")
    mail.strangers.append((ann.key, bob.key))
    await post.post(mail)
    assert await post.store.count_strangers(ann.key, since=T0) == {bob.key}
    assert await post.store.count_strangers(ann.key, since=T0 + 1) == set()
    assert await post.store.count_strangers(bob.key, since=T0) == set()
    assert await post.store.forget_dedupes(T0, limit=10) == 0
    assert await post.store.forget_dedupes(T0 + 1, limit=1) == 1
    assert await post.store.forget_dedupes(T0 + 1, limit=10) == 1
    assert await post.store.count_strangers(ann.key, since=0) == set()
    again = post.mail(ann, bob, dedupe_id="k")
    await post.post(again)
    assert again.repeat is None


# -- Logs ----------------------------------------------------------------------------------


async def test_a_log_is_opened(post: Postbox) -> None:
    """By whoever connects, stored or not: he is known then, and told how far it goes (MS-26,
    MS-61)."""
    ann, bob = post.person("ann"), post.person("bob")
    bob.is_known = False
    assert await post.open(ann) == LogState(0, 0, 0)
    await post.send(ann, bob)
    await post.prove(ann, 1)
    assert await post.open(ann) == LogState(0, 1, 1)
    assert await post.open(bob) == LogState(0, 1, 0)
    assert bob.is_known
    assert await post.store.find_subscribers(DOMAIN, ["bob"]) == {"bob": (bob.key, True)}


async def test_a_log_is_read_in_pages(post: Postbox) -> None:
    """From beyond a number, as many as asked for (MS-48); nobody's Log is empty."""
    ann, bob = post.person("ann"), post.person("bob")
    for number in range(5):
        await post.send(ann, bob, str(number))
    page = await post.page(bob, after=1, limit=2)
    assert [brief(one) for one in page.entries] == ["1", "2"]
    assert page.state == LogState(0, 5, 0)
    nobody = await post.page(post.person("nobody"))
    assert (nobody.entries, nobody.state) == ([], LogState(0, 0, 0))


async def test_large_entries_make_short_pages(post: Postbox) -> None:
    """SE-5: what an answer cannot hold is not read for it, but for the entry that is too much; all
    of it is in one page or the next."""
    ann, bob = post.person("ann"), post.person("bob")
    contents = ["x" * 100_000] * 9 + ["y" * 600_000, "last"]
    for content in contents:
        await post.send(ann, bob, content)
    found, sizes, after = [], [], 0
    while after < len(contents):
        page = await post.page(bob, after=after)
        sizes.append(len(page.entries))
        found += [brief(one) for one in page.entries]
        after = page.entries[-1].seq
        assert page.state.last == len(contents)
    assert (found, sizes) == (contents, [6, 4, 1])


async def test_read_in_its_order(post: Postbox) -> None:
    """Who reads sees what was posted before, and has been told of it (MS-48)."""
    ann, bob = post.person("ann"), post.person("bob")
    seen: list[tuple[int, int]] = []

    def then(page: LogPage | None, _error: StoreError | None) -> None:
        assert page is not None
        seen.append((len(page.entries), len(post.told)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(post.post, post.mail(ann, bob))
        await wait_all_tasks_blocked()
        post.store.read_entries(bob.key, after=0, limit=9, then=then)
        await post.store.barrier()
    assert seen == [(1, 2)]


async def test_a_full_log_loses_its_oldest(post: Postbox) -> None:
    """In the transaction that adds to it, counted, and told where it begins (section 12, MS-63)."""
    post.store.most_entries = 3
    ann, bob, cid = (post.person(name) for name in ("ann", "bob", "cid"))
    for number in range(4):
        await post.send(ann, bob, str(number))
    await post.send(cid, bob, "4")
    assert await post.log(bob) == ["2", "3", "4"]
    assert (await post.page(bob)).state == LogState(2, 5, 0)
    assert await post.log(ann) == ["1", "2", "3"]
    # One of ann's and one of bob's, then another of bob's.
    assert post.trimmed == [2, 1]


async def test_logs_lose_what_is_old(post: Postbox) -> None:
    """The oldest first, a few at a time; their numbers are not given again (MS-60, section 12)."""
    ann, bob = post.person("ann"), post.person("bob")
    await post.send(ann, bob, "old")
    post.now += 10
    await post.send(ann, bob, "new")
    assert await post.store.trim_logs(T0, limit=9) == 0
    assert await post.store.trim_logs(T0 + 1, limit=1) == 1
    assert await post.store.trim_logs(T0 + 1, limit=9) == 1
    assert (await post.log(ann), await post.log(bob)) == (["new"], ["new"])
    assert (await post.page(bob)).state == LogState(1, 2, 0)
    assert await post.store.trim_logs(T0 + 99, limit=9) == 2
    assert (await post.page(bob)).state == LogState(2, 2, 0)
    await post.send(ann, bob, "newer")
    assert [one.seq for one in (await post.page(bob)).entries] == [3]


async def test_a_clock_put_back_leaves_no_hole(post: Postbox) -> None:
    """What stands before something old is older than it, whatever the clock said (MS-63)."""
    ann, bob = post.person("ann"), post.person("bob")
    post.now = T0 + 1000
    await post.send(ann, bob, "future")
    post.now = T0
    await post.send(ann, bob, "now")
    assert await post.store.trim_logs(T0 + 1, limit=9) == 4
    assert await post.log(bob) == []


# -- another life --------------------------------------------------------------------------


async def test_everything_is_there_after_a_restart(open_store: OpenStore) -> None:
    """Logs go on with their numbers, and no key or message-id is given twice (MS-27, MS-70)."""
    async with trio.open_nursery() as nursery:
        first = Postbox(open_store())
        assert first.store.greatest_message_id is None
        await nursery.start(first.store.run)
        ann, bob = first.person("ann"), first.person("bob")
        room = await first.room(ann, bob)
        await first.send(ann, room, "one", dedupe_id="k")
        last = await first.send(ann, bob, "two")
        nursery.cancel_scope.cancel()
    async with trio.open_nursery() as nursery:
        again = Postbox(open_store())
        await nursery.start(again.store.run)
        assert again.store.greatest_message_id == last
        assert again.person("cid").key > max(ann.key, bob.key)
        assert again.store.next_room_key() > room.key
        assert await again.log(bob) == ["one", "two"]
        mail = again.mail(ann, bob, "again", dedupe_id="k")
        await again.post(mail)
        assert mail.repeat is not None
        await again.send(bob, ann, "three")
        assert await again.log(bob) == ["one", "two", "three"]
        nursery.cancel_scope.cancel()


async def test_no_notification_is_taken_for_an_older_one(open_store: OpenStore) -> None:
    """An entry knows its notification by key: that is given once, however little is left of the
    other deliveries at a start (MS-54)."""
    channel = socket_channel()
    keys: list[int] = []
    for number in range(2):
        async with trio.open_nursery() as nursery:
            post = Postbox(open_store())
            await nursery.start(post.store.run)
            people = await post.store.find_subscribers(DOMAIN, ["ann", "bob"])
            ann, bob = (
                load(people[name][0], DOMAIN, name, True) if name in people else post.person(name)
                for name in ("ann", "bob")
            )
            if not number:
                await add(post.store, channel)
            await post.send(ann, bob, notified={bob: [channel]})
            [one] = await waiting(post.store, channel)
            keys.append(one.id)
            post.store.settle_lazily([one.id], lambda _counts: None, now=T0)
            await post.store.prune_attempts(T0 + 1, keep=0, limit=9)
            await post.store.barrier()
            nursery.cancel_scope.cancel()
    assert keys[0] < keys[1]


async def test_sockets_are_served_as_before(post: Postbox) -> None:
    """Mail and plain notifications share a commit without noticing each other (MS-46)."""
    ann, bob = post.person("ann"), post.person("bob")
    channel = socket_channel(bob.user)
    await add(post.store, channel)
    plain = Acceptance()
    plain.add(notification("plain"), [channel])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(post.store.accept, plain, Reports())
        nursery.start_soon(post.post, post.mail(ann, bob))
    await assert_counts_are_right(post.store, websockets=1)
    assert await post.log(bob) == ["hi"]


def test_a_log_keeps_what_the_specification_says(open_store: OpenStore) -> None:
    """Unless it is told otherwise (section 12)."""
    assert _for_messaging(open_store()).most_entries == 5000


def _for_messaging(store: Messages) -> Messages:
    """The store is everything that messaging asks for: the type checker says so."""
    return store
