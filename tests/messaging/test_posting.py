"""tocsin.messaging.posting: one write for each message, in one order everywhere."""

from collections.abc import Sequence

import orjson
import pytest
import trio
from tests.fakes.deliveries import T0
from tests.fakes.phones import Phones
from tests.fakes.posting_world import PostingWorld, WritingLink
from tests.fakes.world import World

from tocsin.delivery.settings import DeliveryLimits
from tocsin.messaging.refused import Refused
from tocsin.messaging.settings import MessagingLimits
from tocsin.model.errors import RequestError
from tocsin.store.mail import Posted
from tocsin.store.records import AccountRecord
from tocsin.wire.messaging.refusals import ErrorCode


def text_of(entry: Posted) -> dict[str, object]:
    """An entry as a client has it, without its cursor."""
    loaded: dict[str, object] = orjson.loads(entry.rendered.text())
    return loaded


async def refusal(world: PostingWorld, link: WritingLink, to: str) -> ErrorCode:
    """Why a message is refused; nothing came of it."""
    before = await world.log(link.subscriber.id)
    with pytest.raises(Refused) as refused:
        await world.write(link, to)
    assert len(await world.log(link.subscriber.id)) == len(before)
    return refused.value.error.code


# -- to one other ------------------------------------------------------------------------------


async def test_a_direct_message() -> None:
    """One entry for each of the two, given to all their connections; the sender's devices see
    the dedupe-id, nobody else does (MS-46, MS-47)."""
    world = PostingWorld(Phones(World(clock=lambda: T0)))
    alice, tablet = await world.connect("alice"), await world.connect("alice")
    bob = await world.connect("bob")
    sent = await world.write(alice, "bob", "hello", dedupe_id="k7")
    assert sent.entry is not None
    assert (sent.entry.seq, sent.entry.origin) == (1, alice)
    [there], [here] = bob.entries, tablet.entries
    assert here is sent.entry
    assert text_of(there) == {
        "type": "direct-message",
        "message-id": sent.message_id,
        "from": "alice",
        "subscriber-id": "bob",
        "sent-at": "2023-11-14T22:13:20.000Z",
        "content": "hello",
        "content-type": "text/plain",
    }
    assert text_of(here) == {**text_of(there), "dedupe-id": "k7"}
    assert [text_of(one) for one in await world.log("bob")] == [text_of(there)]
    assert [text_of(one) for one in await world.log("alice")] == [text_of(here)]


async def test_ids_rise_with_the_log(nursery: trio.Nursery) -> None:
    """However many write at once, and whatever they have to look up before (MS-27)."""
    world = PostingWorld()
    writers = [await world.connect(f"w{number}") for number in range(20)]
    for number in range(0, 20, 3):
        await world.tab(f"w{number}")
    async with trio.open_nursery() as writing:
        for link in writers:
            writing.start_soon(world.write, link, "bob")
            writing.start_soon(world.write, link, "carol")
    for id_ in ("bob", "carol"):
        ids = [str(text_of(entry)["message-id"]) for entry in await world.log(id_)]
        assert (len(ids), ids) == (20, sorted(ids))


async def test_a_repeat_is_answered_with_the_first() -> None:
    """And sends nothing, whatever else it says; nobody is told of it (MS-25)."""
    world = PostingWorld()
    alice, bob = await world.connect("alice"), await world.connect("bob")
    await world.tab("carol")
    first = await world.write(alice, "bob", dedupe_id="k7")
    again = await world.write(alice, "carol", "something else", dedupe_id="k7")
    assert (again.message_id, again.entry) == (first.message_id, None)
    assert (len(bob.entries), await world.log("carol")) == (1, [])
    core = world.phones.world
    assert core.sample("notifications_accepted_total", service="chat") == 0
    assert core.store.backlog == 0
    other = await world.write(bob, "carol", dedupe_id="k7")
    assert other.message_id != first.message_id
    assert core.sample("notifications_accepted_total", service="chat") == 1


async def test_a_repeat_of_what_would_be_refused_now() -> None:
    """Is answered with the first all the same; what never was sent is refused (MS-25)."""
    world = PostingWorld()
    alice = await world.connect("alice")
    first = await world.write(alice, "bob", dedupe_id="k7")
    again = await world.write(alice, "alice", dedupe_id="k7")
    assert (again.message_id, again.entry) == (first.message_id, None)
    with pytest.raises(Refused):
        await world.write(alice, "alice", dedupe_id="k8")


async def test_to_oneself() -> None:
    """`bad-request` (MS-26)."""
    world = PostingWorld()
    assert await refusal(world, await world.connect("alice"), "alice") is ErrorCode.BAD_REQUEST


# -- to somebody nobody knows ------------------------------------------------------------------


async def test_who_was_never_seen_has_it_kept() -> None:
    """In his Log, for when he comes (MS-26)."""
    world = PostingWorld()
    await world.write(await world.connect("alice"), "zoe")
    [kept] = await world.log("zoe")
    assert text_of(kept)["from"] == "alice"
    zoe = await world.register.subscriber("acme", "zoe")
    assert (zoe.is_known, zoe.is_stored) == (False, True)


async def test_so_many_strangers_a_day() -> None:
    """Those written to before, and those known by now, do not count (MS-26)."""
    world = PostingWorld(limits=MessagingLimits(strangers_per_day=2))
    alice, bob = await world.connect("alice"), await world.connect("bob")
    for id_ in ("x", "y"):
        await world.write(alice, id_)
    assert await refusal(world, alice, "z") is ErrorCode.RATE_LIMITED
    await world.write(alice, "x")
    await world.write(alice, "bob")
    await world.write(bob, "z")
    assert await refusal(world, alice, "z") is ErrorCode.RATE_LIMITED
    await world.connect("z")
    await world.write(alice, "z")


async def test_where_strangers_are_refused() -> None:
    """`not-found`, but not for who is in a Room or can be told of messages (MS-26)."""
    world = PostingWorld(keeps_unknown=False)
    alice = await world.connect("alice")
    assert await refusal(world, alice, "zoe") is ErrorCode.NOT_FOUND
    await world.hook("zoe")
    await world.write(alice, "zoe")
    found = await world.store.find_subscribers("acme", ["zoe"])
    assert [is_known for _, is_known in found.values()] == [True]


# -- to a Room ---------------------------------------------------------------------------------


async def test_a_message_to_a_room() -> None:
    """One entry for each member, the sender's own among them (MS-46)."""
    world = PostingWorld()
    room = await world.room("alice", "bob", "carol")
    alice, bob = await world.connect("alice"), await world.connect("bob")
    sent = await world.write_to_room(alice, room.id)
    assert sent.entry is not None
    [there] = bob.entries
    assert (text_of(there)["channel-id"], text_of(there)["from"]) == (room.id, "alice")
    assert [text_of(one) for one in await world.log("carol")] == [text_of(there)]
    assert len(await world.log("alice")) == 1


async def test_only_members_write_to_a_room() -> None:
    """To others it is as if there were none (MS-35)."""
    world = PostingWorld()
    room = await world.room("bob", "carol")
    alice = await world.connect("alice")
    for room_id in (room.id, "r-none"):
        with pytest.raises(Refused) as refused:
            await world.write_to_room(alice, room_id)
        assert refused.value.error.code is ErrorCode.NOT_FOUND
    assert await world.log("bob") == []


@pytest.mark.parametrize(("limit", "told"), [(3, ["received"]), (2, [])])
async def test_receipts_of_a_room(limit: int, told: list[str]) -> None:
    """Each member's up to so many members, above none (MS-58)."""
    world = PostingWorld(receipt_room_limit=limit)
    room = await world.room("alice", "bob", "carol")
    alice, bob = await world.connect("alice"), await world.connect("bob")
    await world.write_to_room(alice, room.id)
    world.receipts.proven(bob, 1)
    world.receipts.flush()
    statuses = [text_of(one) for one in await world.log("alice")][1:]
    assert [one["status"] for one in statuses] == told
    assert all(one["subscriber-id"] == "bob" for one in statuses)


# -- when it cannot be -------------------------------------------------------------------------


async def test_a_full_backlog() -> None:
    """No messages, though nobody has to be told of them; receipts still work (MS-69)."""
    phones = Phones(World(limits=DeliveryLimits(backlog=1)))
    world = PostingWorld(phones)
    alice, bob = await world.connect("alice"), await world.connect("bob")
    await world.write(alice, "bob")
    await phones.world.hook()
    await phones.world.publish("a")
    with pytest.raises(RequestError) as refused:
        await world.write(alice, "bob")
    assert (refused.value.status, refused.value.label) == (503, "backlog")
    assert len(await world.log("bob")) == 1
    world.receipts.proven(bob, 1)
    await world.receipts.catch_up()
    assert [text_of(one)["type"] for one in await world.log("alice")] == [
        "direct-message",
        "delivery",
    ]


async def test_who_does_not_wait_has_sent_it_all_the_same() -> None:
    """What was handed to the store is delivered (MS-21)."""
    world = PostingWorld()
    alice, bob = await world.connect("alice"), await world.connect("bob")
    await world.notices.prepare([bob.subscriber])
    with trio.CancelScope() as scope:
        scope.cancel()
        await world.write(alice, "bob")
    assert scope.cancelled_caught
    assert len(bob.entries) == 1


async def test_members_who_all_write_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom a Room's messages are to be told is fetched once, however many wait for it (MS-49)."""
    world = PostingWorld()
    names = [f"s{number}" for number in range(8)]
    room = await world.room(*names)
    links = [await world.connect(name) for name in names]
    fetched: list[str] = []
    load = world.store.load_accounts

    async def noting(users: Sequence[str]) -> list[AccountRecord]:
        fetched.extend(users)
        return await load(users)

    monkeypatch.setattr(world.store, "load_accounts", noting)
    async with trio.open_nursery() as nursery:
        for link in links:
            nursery.start_soon(world.write_to_room, link, room.id)
    assert sorted(fetched) == [f"{name}@acme" for name in names]
    assert [len(link.entries) for link in links] == [len(names)] * len(names)
