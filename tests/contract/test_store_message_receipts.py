"""The rules of `tocsin.store.messages`: what recipients have, and what need not be sent then."""

import pytest
import trio
from tests.fakes.deliveries import T0, device_channel, notification, socket_channel
from tests.fakes.mail import DOMAIN, Postbox, text
from tests.fakes.stores import (
    LEASE,
    OpenStore,
    Reports,
    accept,
    add,
    assert_counts_are_right,
    waiting,
)

from tocsin.model.channel import Channel, ChannelType
from tocsin.model.conversation import Subscriber
from tocsin.store.archive import LogQuery
from tocsin.store.mail import DropMember, DropRoom, Proof
from tocsin.store.records import Acceptance, Ended, Held, Resumption, Settlements
from tocsin.wire.messaging.words import MessageStatus

STORED, RECEIVED, DISPLAYED, READ = MessageStatus
PUSHES, SOCKETS = ChannelType.OMAPUSH, ChannelType.WEBSOCKETS
LANE = "apns/com.example.app"


@pytest.fixture
async def post(open_store: OpenStore, nursery: trio.Nursery) -> Postbox:
    """An empty store that runs."""
    opened = open_store()
    await nursery.start(opened.run)
    return Postbox(opened)


@pytest.fixture
def ann(post: Postbox) -> Subscriber:
    """Who writes."""
    return post.person("ann")


@pytest.fixture
def bob(post: Postbox) -> Subscriber:
    """Who is written to."""
    return post.person("bob")


@pytest.fixture
def cancelled(post: Postbox) -> list[Ended]:
    """What the store said was cancelled."""
    found: list[Ended] = []
    post.store.on_cancelled = found.append
    return found


async def phone_of(post: Postbox, who: Subscriber, correlator: str = "phone") -> Channel:
    """A push channel of somebody's device."""
    channel = device_channel(who.user, correlator=correlator)
    await add(post.store, channel)
    return channel


async def due(post: Postbox, now: int = T0 + 10_000) -> int:
    """How many pushes are claimed."""
    found = await post.store.claim(LANE, now=now, limit=100, provisional=LEASE)
    return len(found.deliveries)


# -- proof ---------------------------------------------------------------------------------


async def test_proof_is_told_to_senders_once(
    post: Postbox, ann: Subscriber, bob: Subscriber
) -> None:
    """Of each message up to there, and not again however often it is proven (MS-53, MS-54)."""
    cid = post.person("cid")
    await post.send(ann, bob, "1")
    await post.send(cid, bob, "2")
    await post.send(ann, bob, "3")
    await post.prove(bob, 2)
    await post.prove(bob, 2)
    assert (await post.log(ann), await post.log(cid)) == (
        ["1", "3", "bob received"],
        ["2", "bob received"],
    )
    assert (await post.page(bob)).state.proven == 2
    await post.prove(bob, 3, after=2)
    assert (await post.log(ann))[-2:] == ["bob received", "bob received"]
    assert post.heard(ann) == await post.log(ann)


async def test_a_proof_reaches_no_further_than_the_log(
    post: Postbox, ann: Subscriber, bob: Subscriber
) -> None:
    """Nor does the proven position ever fall (MS-61)."""
    await post.send(ann, bob)
    await post.prove(bob, 99)
    assert (await post.page(bob)).state.proven == 1
    await post.prove(bob, 0)
    assert (await post.page(bob)).state.proven == 1
    await post.prove(post.person("nobody"), 5)


async def test_two_connections_at_once(post: Postbox, ann: Subscriber, bob: Subscriber) -> None:
    """Their proofs overlap; the further one counts, and a sender is told once (MS-53)."""
    await post.send(ann, bob, "1")
    await post.send(ann, bob, "2")
    proofs = [Proof(bob.key, bob.user, 0, upto) for upto in (2, 1)]
    reports = Reports()
    post.store.prove(proofs, now=T0, then=reports)
    await post.store.barrier()
    assert reports.errors == [None]
    assert await post.log(ann) == ["1", "2", "bob received", "bob received"]
    assert (await post.page(bob)).state.proven == 2


async def test_ones_own_messages_need_no_proof(post: Postbox, ann: Subscriber) -> None:
    """Nor do other entries: nobody is told of those (MS-53)."""
    bob = post.person("bob")
    await post.send(ann, bob)
    await post.prove(bob, 1)
    await post.prove(ann, 2)
    assert await post.log(ann) == ["hi", "bob received"]


async def test_in_a_room_each_is_told_of(post: Postbox, ann: Subscriber, bob: Subscriber) -> None:
    """Per member, with the Room's id, when it is over too (MS-53, MS-58)."""
    cid = post.person("cid")
    room = await post.room(ann, bob, cid)
    await post.send(ann, room)
    await post.prove(bob, 1)
    await post.change(DropRoom(room))
    await post.prove(cid, 1)
    assert await post.log(ann) == ["hi", "bob received", "cid received"]
    told = (await post.page(ann)).entries[1:]
    assert [text(one)["channel-id"] for one in told] == [room.id, room.id]


async def test_reading_in_a_large_room_is_told_to_the_readers_devices(
    post: Postbox, ann: Subscriber, bob: Subscriber
) -> None:
    """Once, and to nobody else; what the sender sees of it stays `stored` (MS-58, MS-59)."""
    room = await post.room(ann, bob)
    older, newer = [await post.send(ann, room, receipts=False) for _ in range(2)]
    for id_ in (older, older, newer):
        assert await post.mark(bob, id_, READ)
    assert await post.log(bob) == ["hi", "hi", "bob read", "bob read"]
    assert await post.log(ann) == ["hi", "hi"]
    assert await post.mark(bob, newer, DISPLAYED)
    assert await post.mark(bob, newer, READ, through=True)
    assert await post.log(bob) == ["hi", "hi", "bob read", "bob read"]
    found = await post.store.find_message(DOMAIN, newer)
    assert found is not None
    assert dict(found.statuses)["bob"] is STORED


async def test_large_rooms_have_no_receipts(
    post: Postbox, ann: Subscriber, bob: Subscriber
) -> None:
    """What he says of one is acknowledged and has no effect, if he got it (MS-56, MS-58)."""
    cid = post.person("cid")
    room = await post.room(ann, bob)
    id_ = await post.send(ann, room, receipts=False)
    await post.prove(bob, 1)
    assert await post.mark(bob, id_, DISPLAYED)
    assert not await post.mark(ann, id_)
    assert not await post.mark(cid, id_)
    assert await post.log(ann) == ["hi"]
    assert await post.log(bob) == ["hi"]
    await post.store.trim_logs(T0 + 1, limit=99)
    assert await post.mark(bob, id_, DISPLAYED)
    await post.change(DropMember(room, bob.key))
    assert not await post.mark(bob, id_, DISPLAYED)


# -- what a client says --------------------------------------------------------------------


async def test_statuses_rise(post: Postbox, ann: Subscriber, bob: Subscriber) -> None:
    """A lower one, or the same again, is true and has no effect; what is skipped is not told
    (MS-53, MS-56)."""
    id_ = await post.send(ann, bob)
    for status in (DISPLAYED, RECEIVED, DISPLAYED, READ, READ):
        assert await post.mark(bob, id_, status)
    await post.prove(bob, 1)
    assert await post.log(ann) == ["hi", "bob displayed", "bob read"]


async def test_only_to_whom_it_went(post: Postbox, ann: Subscriber, bob: Subscriber) -> None:
    """Neither its sender nor a third one, who may well know the id (MS-27, MS-56)."""
    id_ = await post.send(ann, bob)
    assert not await post.mark(ann, id_)
    assert not await post.mark(post.person("cid"), id_)
    assert not await post.mark(bob, "no such message")
    assert await post.log(ann) == ["hi"]


async def test_the_readers_other_devices_agree(
    post: Postbox, ann: Subscriber, bob: Subscriber
) -> None:
    """They are told of `read`, and of nothing less; the device that said so is known by its
    `origin` (MS-59)."""
    id_ = await post.send(ann, bob)
    device = object()
    assert await post.mark(bob, id_, DISPLAYED, origin=device)
    assert await post.log(bob) == ["hi"]
    assert await post.mark(bob, id_, READ, origin=device)
    assert await post.log(bob) == ["hi", "bob read"]
    assert [one.origin for one in post.told if one.subscriber_key == bob.key][-1] is device
    assert [one.origin for one in post.told if one.subscriber_key == ann.key][-1] is None


async def test_through_covers_what_came_before(
    post: Postbox, ann: Subscriber, bob: Subscriber
) -> None:
    """Of that conversation, up to that message; the sender is told of his newest (MS-57)."""
    cid = post.person("cid")
    ids = [await post.send(ann, bob, str(number)) for number in range(3)]
    await post.send(cid, bob, "other")
    await post.send(bob, ann, "mine")
    assert await post.mark(bob, ids[1], through=True)
    assert post.heard(ann)[-1] == "bob read through"
    told = (await post.page(ann)).entries[-1]
    assert text(told)["message-id"] == ids[1]
    assert await post.log(cid) == ["other"]
    assert (await post.log(bob))[-1] == "bob read through"
    assert await post.mark(bob, ids[1], through=True)
    assert post.heard(ann) == []
    history = await post.history(ann, bob)
    assert [text(one).get("status") for one in history.messages] == ["read", "read", "stored", None]


async def test_through_in_a_room_tells_each_sender(
    post: Postbox, ann: Subscriber, bob: Subscriber
) -> None:
    """Once, for his newest (MS-57)."""
    cid = post.person("cid")
    room = await post.room(ann, bob, cid)
    await post.send(ann, room, "1")
    newest = await post.send(ann, room, "2")
    await post.send(cid, room, "3")
    last = await post.send(bob, room, "4")
    other = await post.send(cid, room, "5")
    assert not await post.mark(bob, last, through=True)
    assert await post.mark(bob, other, DISPLAYED, through=True)
    assert [one for one in await post.log(ann) if "bob" in one] == ["bob displayed through"]
    assert [one for one in await post.log(cid) if "bob" in one] == ["bob displayed through"]
    [told] = [one for one in (await post.page(ann)).entries if "status" in text(one)]
    assert (text(told)["message-id"], text(told)["channel-id"]) == (newest, room.id)
    assert await post.mark(bob, other, READ, through=True)
    assert [one for one in await post.log(cid) if "bob" in one][-1] == "bob read through"


# -- legs that wait ------------------------------------------------------------------------


async def test_proof_cancels_the_devices_leg(
    post: Postbox, ann: Subscriber, bob: Subscriber, cancelled: list[Ended]
) -> None:
    """Of the device that has it, and of no other; the log tells why (MS-55)."""
    phone, tablet = await phone_of(post, bob), await phone_of(post, bob, "tablet")
    for number in range(2):
        notified = {bob: [phone, tablet]}
        await post.send(ann, bob, str(number), notified=notified, held=[phone, tablet])
    await post.prove(bob, 1, correlator="phone")
    assert [ended.counts for ended in cancelled] == [{PUSHES: 1}]
    await assert_counts_are_right(post.store, omapush=3)
    page = await post.store.read_log(LogQuery(), before=None, limit=9, look=99)
    assert [(one.result, one.reason, one.channel_id) for one in page.items] == [
        ("cancelled", "receipted", phone.id)
    ]
    assert await due(post) == 3


@pytest.mark.parametrize("through", [True, False])
async def test_reading_in_a_large_room_cancels_what_tells_of_it(
    post: Postbox, ann: Subscriber, bob: Subscriber, cancelled: list[Ended], *, through: bool
) -> None:
    """On all devices of the reader; of older messages if he says so (MS-55, MS-57)."""
    cid = post.person("cid")
    phones = [await phone_of(post, bob), await phone_of(post, bob, "tablet")]
    others = [await phone_of(post, cid)]
    room = await post.room(ann, bob, cid)
    notified = {bob: phones, cid: others}
    ids = [
        await post.send(ann, room, receipts=False, notified=notified, held=phones) for _ in range(3)
    ]
    assert await post.mark(bob, ids[1], READ, through=through)
    assert [ended.counts for ended in cancelled] == [{PUSHES: 4 if through else 2}]
    await assert_counts_are_right(post.store, omapush=5 if through else 7)


async def test_proof_of_one_that_names_no_device(
    post: Postbox, ann: Subscriber, bob: Subscriber, cancelled: list[Ended]
) -> None:
    """Cancels nothing, unless it counts for all of his (MS-51, MS-55)."""
    phones = [await phone_of(post, bob), await phone_of(post, bob, "tablet")]
    await post.send(ann, bob, notified={bob: phones}, held=phones)
    await post.prove(bob, 1)
    assert cancelled == []
    await post.prove(bob, 1, after=1, is_everywhere=True)
    assert [ended.counts for ended in cancelled] == [{PUSHES: 2}]
    await assert_counts_are_right(post.store)


async def test_what_is_due_or_tried_is_not_cancelled_by_proof(
    post: Postbox, ann: Subscriber, bob: Subscriber, cancelled: list[Ended]
) -> None:
    """What nobody holds back goes; so does what a queue has (MS-55)."""
    phone = await phone_of(post, bob)
    await post.send(ann, bob, notified={bob: [phone]})
    await post.send(ann, bob, notified={bob: [phone]}, held=[phone])
    assert await due(post) == 2
    await post.prove(bob, 2, correlator="phone")
    assert cancelled == []


async def test_what_does_not_come_from_a_message_waits_on(
    post: Postbox, ann: Subscriber, bob: Subscriber, cancelled: list[Ended]
) -> None:
    """A leg of some other notification has nothing to do with the Log (MS-55)."""
    phone = await phone_of(post, bob)
    await accept(post.store, (notification(user=bob.user), [phone]))
    await post.send(ann, bob)
    await post.prove(bob, 1, correlator="phone")
    assert (cancelled, await due(post)) == ([], 1)


async def test_reading_cancels_all_pushes(
    post: Postbox, ann: Subscriber, bob: Subscriber, cancelled: list[Ended]
) -> None:
    """Held or due, on whatever device, of all that is read, where no attempt was made; what
    stands behind is next (MS-55, MS-57)."""
    phone, tablet = await phone_of(post, bob), await phone_of(post, bob, "tablet")
    socket = socket_channel(bob.user)
    await add(post.store, socket)
    notified = {bob: [phone, tablet, socket]}
    for _ in range(2):
        last = await post.send(ann, bob, notified=notified, held=[tablet])
    await post.send(ann, bob, notified=notified, held=[tablet])
    assert await post.mark(bob, last, DISPLAYED, through=True)
    assert cancelled == []
    assert await post.mark(bob, last, READ, through=True)
    assert [ended.counts for ended in cancelled] == [{PUSHES: 4}]
    await assert_counts_are_right(post.store, omapush=2, websockets=3)
    assert await due(post) == 2
    assert await post.mark(bob, last, READ, through=True)
    assert len(cancelled) == 1


async def test_claimed_pushes_are_left(
    post: Postbox, ann: Subscriber, bob: Subscriber, cancelled: list[Ended]
) -> None:
    """A claim has counted its attempt (MS-55)."""
    phone = await phone_of(post, bob)
    id_ = await post.send(ann, bob, notified={bob: [phone]})
    assert await due(post) == 1
    assert await post.mark(bob, id_)
    assert cancelled == []


@pytest.mark.parametrize(("messages", "expected"), [(None, 2), (True, 1), (False, 1)])
async def test_messages_are_escalated_apart(
    post: Postbox, ann: Subscriber, bob: Subscriber, messages: bool | None, expected: int
) -> None:
    """A device has sockets for the ones and messaging connections for the others (MS-50)."""
    phone = await phone_of(post, bob)
    socket = socket_channel(bob.user, correlator="phone")
    await add(post.store, socket)
    await post.send(ann, bob, notified={bob: [phone]}, held=[phone])
    await _hold_plain(post, socket, phone)
    reports = Reports()
    post.store.escalate([phone], [], now=T0 + 1, then=reports.both, messages=messages)
    await post.store.barrier()
    assert reports.results == [{LANE: False}]
    assert await due(post, T0 + 1) == expected


async def _hold_plain(post: Postbox, socket: Channel, phone: Channel) -> None:
    acceptance = Acceptance()
    acceptance.add(notification(user=socket.user), [socket, phone])
    first, later = acceptance.deliveries[0]
    acceptance.held.append(Held([first], [later], T0 + 10_000))
    await post.store.accept(acceptance, Reports())


# -- receipts of notifications -------------------------------------------------------------


async def test_a_receipt_of_its_notification_counts(
    post: Postbox, ann: Subscriber, bob: Subscriber
) -> None:
    """On a socket or poll, for that message alone; what has nothing to do with messages is none
    (MS-54)."""
    socket = socket_channel(bob.user)
    await add(post.store, socket)
    await post.send(ann, bob, "1", notified={bob: [socket]})
    await post.send(ann, bob, "2", notified={bob: [socket]})
    await accept(post.store, (notification(user=bob.user), [socket]))
    found = await waiting(post.store, socket)
    counted: list[object] = []
    for one in found[1:]:
        post.store.settle_lazily([one.id], counted.append, now=T0)
    await post.store.barrier()
    assert counted == [{SOCKETS: 1}, {SOCKETS: 1}]
    assert post.heard(ann) == ["1", "2", "bob received"]
    told = (await post.page(ann)).entries[-1]
    assert text(told)["message-id"] == text((await post.page(bob)).entries[1])["message-id"]
    assert (await post.page(bob)).state.proven == 0
    await post.prove(bob, 2)
    assert await post.log(ann) == ["1", "2", "bob received", "bob received"]


async def test_a_receipt_by_resuming_counts(
    post: Postbox, ann: Subscriber, bob: Subscriber
) -> None:
    """Who goes on behind a notification has it (MS-54)."""
    socket = socket_channel(bob.user)
    await add(post.store, socket)
    await post.send(ann, bob, notified={bob: [socket]})
    [one] = await waiting(post.store, socket)
    await post.store.place(socket, [(one.id, 1)])
    reports = Reports()
    post.store.resume(socket, Resumption(settle_upto=1), now=T0, then=reports.both)
    await post.store.barrier()
    assert reports.results == [1]
    assert await post.log(ann) == ["hi", "bob received"]
    assert post.heard(ann) == ["hi", "bob received"]


async def test_what_is_pushed_or_posted_is_no_receipt(
    post: Postbox, ann: Subscriber, bob: Subscriber
) -> None:
    """An outcome of OMAPush says nothing of the person (MS-54)."""
    phone = await phone_of(post, bob)
    await post.send(ann, bob, notified={bob: [phone]})
    found = await post.store.claim(LANE, now=T0, limit=9, provisional=LEASE)
    await post.store.settle(Settlements(finished=[found.deliveries[0].id]), now=T0)
    assert await post.log(ann) == ["hi"]
    await assert_counts_are_right(post.store)
