"""tocsin.delivery.escalation: messaging connections of a device, and the pushes that tell of
messages."""

import attrs
import pytest
import trio
from tests.fakes.deliveries import device_channel, socket_channel
from tests.fakes.phones import PHONE
from tests.fakes.posting_world import PostingWorld, WritingLink
from trio.testing import MockClock

from tocsin.wire.messaging.clientmessages import Receipt
from tocsin.wire.messaging.words import MessageStatus

T = 10.0
BOB = "bob@acme"


@pytest.fixture
async def world(nursery: trio.Nursery) -> PostingWorld:
    """Delivers; Bob has a phone that is pushed to."""
    made = PostingWorld()
    await made.start(nursery)
    await made.device("bob")
    return made


async def written(world: PostingWorld) -> tuple[str, float]:
    """Alice writes to Bob: the id, and when."""
    alice = await world.connect("alice")
    sent = await world.write(alice, "bob")
    return sent.message_id, trio.current_time()


def prove(world: PostingWorld, link: WritingLink) -> None:
    """A client has everything it was given."""
    world.receipts.proven(link, link.position)
    world.receipts.flush()


async def pushed(world: PostingWorld, id_: str) -> list[float]:
    """When a message was pushed, after all has happened."""
    await trio.sleep(60)
    return world.phones.push.times(id_)


async def test_nobody_connected(autojump_clock: MockClock, world: PostingWorld) -> None:
    """It is pushed straight away (MS-50)."""
    id_, at = await written(world)
    assert await pushed(world, id_) == [at]


async def test_a_connection_that_does_not_prove_it(
    autojump_clock: MockClock, world: PostingWorld
) -> None:
    """It is pushed when the time is up (MS-50)."""
    await world.connect("bob", PHONE)
    id_, at = await written(world)
    assert await pushed(world, id_) == [at + T]
    assert world.phones.legs() == {"socket": 1, "push": 1}


async def test_a_connection_that_proves_it(autojump_clock: MockClock, world: PostingWorld) -> None:
    """It is never pushed (MS-55)."""
    bob = await world.connect("bob", PHONE)
    id_, _ = await written(world)
    await trio.sleep(T - 1)
    prove(world, bob)
    assert await pushed(world, id_) == []
    assert world.phones.legs() == {"socket": 1, "cancelled": 1}
    assert world.store.backlog == 0


@pytest.mark.parametrize("correlator", ["browser", None])
async def test_another_device(
    autojump_clock: MockClock, world: PostingWorld, correlator: str | None
) -> None:
    """A connection of another one, or of none that it names, silences no push (MS-51)."""
    await world.connect("bob", correlator)
    id_, at = await written(world)
    assert await pushed(world, id_) == [at]


async def test_one_that_counts_for_all(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """As the operator wants it: for holding back, for proving and for leaving (MS-51)."""
    world = PostingWorld(counts_for_all=True)
    await world.start(nursery)
    await world.device("bob")
    await world.device("bob", "tablet")
    bob = await world.connect("bob")
    proven, _ = await written(world)
    prove(world, bob)
    left, _ = await written(world)
    await trio.sleep(1)
    at = trio.current_time()
    world.live.detach(bob)
    assert await pushed(world, proven) == []
    assert await pushed(world, left) == [at, at]


async def test_the_connection_leaves(autojump_clock: MockClock, world: PostingWorld) -> None:
    """What waits is due at once, but not while another connection of the device is there
    (MS-50)."""
    first, second = await world.connect("bob", PHONE), await world.connect("bob", PHONE)
    id_, _ = await written(world)
    await trio.sleep(1)
    world.live.detach(first)
    await trio.sleep(1)
    assert world.phones.push.times(id_) == []
    at = trio.current_time()
    world.live.detach(second)
    assert await pushed(world, id_) == [at]


async def test_the_notification_socket_leaves(
    autojump_clock: MockClock, world: PostingWorld
) -> None:
    """What tells of messages still waits for these, everything else is due (MS-50)."""
    await world.phones.subscribed(
        device_channel(BOB, "other", app="com.example.other", correlator=PHONE), "sms"
    )
    tab = socket_channel(BOB, correlator=PHONE, now=world.phones.world.clock())
    session = world.phones.connect(await world.phones.subscribed(tab, "chat", "sms"))
    await world.connect("bob", PHONE)
    id_, at = await written(world)
    await world.phones.world.publish("a", user=BOB)
    await trio.sleep(1)
    session.end(1000)
    assert await pushed(world, id_) == [at + T]
    assert world.phones.push.times("a") == [at + 1]


async def test_the_messaging_connection_leaves_a_socket_behind(
    autojump_clock: MockClock, world: PostingWorld
) -> None:
    """What waits for that goes on waiting (MS-50)."""
    world.phones.connect(await world.tab("bob"))
    bob = await world.connect("bob", PHONE)
    id_, at = await written(world)
    await trio.sleep(1)
    world.live.detach(bob)
    assert await pushed(world, id_) == [at + T]


async def test_what_tells_of_no_message(autojump_clock: MockClock, world: PostingWorld) -> None:
    """A publisher's notification does not come over messaging connections, so it waits for
    none (MS-50, MS-66)."""
    await world.connect("bob", PHONE)
    at = trio.current_time()
    await world.phones.world.publish("a", user=BOB, service="chat")
    assert await pushed(world, "a") == [at]


async def test_webhooks_go_at_once(autojump_clock: MockClock, world: PostingWorld) -> None:
    """Their policy is `all` (MS-50)."""
    await world.hook("bob")
    await world.connect("bob", PHONE)
    id_, at = await written(world)
    await trio.sleep(60)
    assert world.phones.world.transport.times(id_) == [at]


async def test_a_device_of_somebody_else(autojump_clock: MockClock, world: PostingWorld) -> None:
    """Bob's messages do not come to Carol's connection, though they are pushed to her phone
    (MS-50)."""
    carols = await world.device("carol", "hers")
    directory = world.phones.world.directory
    account = await directory.account(BOB)
    [own] = account.subscriptions.values()
    shared = attrs.evolve(own, id="00000000-0000-0000-0000-00000000c0de", channel=carols)
    await directory.subscribe(account, shared, b"{}")
    await world.connect("carol", "hers")
    id_, at = await written(world)
    assert await pushed(world, id_) == [at, at]


async def test_read_anywhere(autojump_clock: MockClock, world: PostingWorld) -> None:
    """Whatever waits for the user is not sent any more (MS-55)."""
    await world.connect("bob", PHONE)
    browser = await world.connect("bob", "browser")
    id_, _ = await written(world)
    await world.receipts.mark(browser, Receipt(message_id=id_, status=MessageStatus.READ))
    assert await pushed(world, id_) == []


async def test_who_has_left_memory(autojump_clock: MockClock, world: PostingWorld) -> None:
    """His pushes are due when their time is up, and nothing fails (MS-50)."""
    world.phones.world.escalation.device_left("nobody@acme", PHONE)
    bob = await world.connect("bob", PHONE)
    world.live.detach(bob)
    id_, at = await written(world)
    assert await pushed(world, id_) == [at]
