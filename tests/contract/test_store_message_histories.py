"""The rules of `tocsin.store.messages`: histories, and what is known of a message."""

import pytest
import trio
from tests.fakes.deliveries import T0
from tests.fakes.mail import DOMAIN, Postbox, brief, load, text
from tests.fakes.stores import OpenStore

from tocsin.store.mail import DropRoom, FoundMessage
from tocsin.wire.messaging.words import MessageStatus


@pytest.fixture
async def post(open_store: OpenStore, nursery: trio.Nursery) -> Postbox:
    """An empty store that runs."""
    opened = open_store()
    await nursery.start(opened.run)
    return Postbox(opened)


async def test_a_conversation_is_of_two(post: Postbox) -> None:
    """The same for both, oldest first, without what either wrote to others (MS-27, MS-28)."""
    ann, bob, cid = (post.person(name) for name in ("ann", "bob", "cid"))
    await post.send(ann, bob, "1")
    await post.send(bob, ann, "2")
    await post.send(bob, cid, "other")
    for reader, other in ((ann, bob), (bob, ann)):
        page = await post.history(reader, other)
        assert ([brief(one) for one in page.messages], page.more) == (["1", "2"], False)
    assert (await post.history(ann, cid)).messages == []


@pytest.mark.parametrize(
    ("bounds", "expected", "more"),
    [
        ({}, "1234", False),
        ({"limit": 3}, "234", True),
        ({"limit": 4}, "1234", False),
        ({"after": 1}, "34", False),
        ({"after": 0, "limit": 2}, "23", True),
        ({"before": 3}, "123", False),
        ({"before": 3, "limit": 2}, "23", True),
        ({"after": 0, "before": 3}, "23", False),
        ({"since": 1}, "34", False),
        ({"since": 1, "after": 0}, "34", False),
        ({"before": 0}, "", False),
    ],
)
async def test_bounds(post: Postbox, bounds: dict[str, int], expected: str, more: bool) -> None:
    """Exclusive, the newest unless only `after` is given (MS-28)."""
    ann, bob = post.person("ann"), post.person("bob")
    ids = [await post.send(ann, bob, str(number)) for number in range(1, 5)]
    named = {name: ids[number] for name, number in bounds.items() if name != "limit"}
    page = await post.history(bob, ann, limit=bounds.get("limit", 50), **named)
    assert ("".join(brief(one) for one in page.messages), page.more) == (expected, more)


async def test_large_messages_make_short_pages(post: Postbox) -> None:
    """SE-5: from where one stands, as much as an answer holds and a little more, and whether there
    is more."""
    ann, bob = post.person("ann"), post.person("bob")
    ids = [await post.send(ann, bob, f"{number}{'x' * 100_000}") for number in range(9)]

    async def read(**bounds: str) -> tuple[str, bool]:
        page = await post.history(bob, ann, **bounds)
        return "".join(brief(one)[0] for one in page.messages), page.more

    assert await read() == ("345678", True)
    assert await read(before=ids[3]) == ("012", False)
    assert await read(after=ids[0]) == ("123456", True)
    assert await read(after=ids[2]) == ("345678", False)


async def test_too_old_messages_are_not_shown(post: Postbox) -> None:
    """Though they have not been deleted yet (section 12)."""
    ann, bob = post.person("ann"), post.person("bob")
    await post.send(ann, bob, "old")
    post.now += 10
    await post.send(ann, bob, "new")
    page = await post.history(bob, ann, oldest=T0 + 1)
    assert [brief(one) for one in page.messages] == ["new"]


async def test_ones_own_messages_have_a_status(post: Postbox) -> None:
    """And the dedupe-id; in a Room it is what the message came to for all (MS-28, MS-53)."""
    ann, bob, cid = (post.person(name) for name in ("ann", "bob", "cid"))
    room = await post.room(ann, bob, cid)
    id_ = await post.send(ann, room, dedupe_id='k"')
    await post.mark(bob, id_)
    [own] = (await post.history(ann, room)).messages
    assert (text(own)["status"], text(own)["dedupe-id"]) == ("stored", 'k"')
    await post.mark(cid, id_, MessageStatus.DISPLAYED)
    [own] = (await post.history(ann, room)).messages
    assert text(own)["status"] == "displayed"
    [theirs] = (await post.history(bob, room)).messages
    assert "status" not in text(theirs)
    assert "dedupe-id" not in text(theirs)


async def test_messages_without_receipts_are_stored(post: Postbox) -> None:
    """Whatever became of them in a large Room (MS-58)."""
    ann, bob = post.person("ann"), post.person("bob")
    room = await post.room(ann, bob)
    await post.send(ann, room, receipts=False)
    [own] = (await post.history(ann, room)).messages
    assert text(own)["status"] == "stored"


async def test_correspondents_have_written_to_each_other(post: Postbox) -> None:
    """Both of them, within the time; a Room makes nobody one (MS-42)."""
    ann, bob, cid, dan = (post.person(name) for name in ("ann", "bob", "cid", "dan"))
    others = [bob.key, cid.key, dan.key]
    await post.send(ann, bob)
    await post.send(ann, cid)
    room = await post.room(ann, dan)
    await post.send(ann, room)
    await post.send(dan, room)
    assert await post.store.correspondents(ann.key, others, since=T0) == set()
    post.now += 10
    await post.send(bob, ann)
    assert await post.store.correspondents(ann.key, others, since=T0) == {bob.key}
    assert await post.store.correspondents(bob.key, [ann.key], since=T0) == {ann.key}
    assert await post.store.correspondents(ann.key, [cid.key], since=T0) == set()
    assert await post.store.correspondents(ann.key, others, since=T0 + 1) == set()
    await post.send(ann, bob)
    assert await post.store.correspondents(ann.key, others, since=T0 + 1) == {bob.key}


async def test_what_the_operator_may_know(post: Postbox) -> None:
    """By whom, where and what became of it for each, in his domain only (section 11)."""
    ann, bob, cid = (post.person(name) for name in ("ann", "bob", "cid"))
    room = await post.room(ann, cid, bob)
    direct = await post.send(ann, bob)
    small = await post.send(ann, room)
    large = await post.send(ann, room, receipts=False)
    await post.mark(cid, small)
    stored, read = MessageStatus.STORED, MessageStatus.READ
    find = post.store.find_message
    assert await find(DOMAIN, direct) == FoundMessage(direct, "ann", None, T0, [("bob", stored)])
    both = [("bob", stored), ("cid", read)]
    assert await find(DOMAIN, small) == FoundMessage(small, "ann", room.id, T0, both)
    both = [("bob", stored), ("cid", stored)]
    assert await find(DOMAIN, large) == FoundMessage(large, "ann", room.id, T0, both)
    assert await find("other", direct) is None
    assert await find(DOMAIN, "nothing") is None


async def test_old_messages_are_deleted(post: Postbox) -> None:
    """But for those that a Log refers to; a correspondence goes with the last of it (section
    12)."""
    ann, bob = post.person("ann"), post.person("bob")
    old = await post.send(ann, bob, "old")
    await post.send(bob, ann, "old too")
    post.now += 10
    new = await post.send(ann, bob, "new")
    assert await post.store.prune_messages(T0 + 1, limit=9) == 0
    await post.store.trim_logs(T0 + 99, limit=99)
    assert await post.store.prune_messages(T0, limit=9) == 0
    assert await post.store.prune_messages(T0 + 1, limit=1) == 1
    assert await post.store.prune_messages(T0 + 1, limit=9) == 1
    page = await post.history(ann, bob)
    assert [brief(one) for one in page.messages] == ["new"]
    assert await post.store.find_message(DOMAIN, old) is None
    assert not await post.mark(bob, old)
    await post.send(bob, ann, "newer")
    assert await post.store.correspondents(ann.key, [bob.key], since=0) == {bob.key}
    assert await post.mark(bob, new, through=True)


async def test_a_room_that_is_over_goes_with_its_last_message(post: Postbox) -> None:
    """Until then its key is not given again, not even in another life (MS-35)."""
    ann, bob = post.person("ann"), post.person("bob")
    room = await post.room(ann, bob)
    id_ = await post.send(ann, room)
    await post.change(DropRoom(room))
    found = await post.store.find_message(DOMAIN, id_)
    assert found is not None
    assert found.room_id == room.id
    await post.store.trim_logs(T0 + 1, limit=9)
    assert await post.store.prune_messages(T0 + 1, limit=9) == 1
    # Whatever has that id now is another one.
    again = await post.room(ann, id_=room.id)
    assert again.key != room.key
    assert await post.store.load_room(DOMAIN, room.id, load) is not None
