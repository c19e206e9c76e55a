"""tocsin.messaging.notices: messages told of by other ways, with them or not at all."""

from uuid import UUID, uuid5

import orjson
import pytest
import trio
from tests.fakes.deliveries import subscription
from tests.fakes.phones import Phones
from tests.fakes.posting_world import PostingWorld
from tests.fakes.world import World
from trio.testing import MockClock

from tocsin.delivery.settings import ChannelSettings
from tocsin.model.errors import RequestError
from tocsin.model.notification import Notification, Priority

WEEK = 7 * 86_400_000


async def told(world: PostingWorld) -> dict[str, Notification]:
    """What is on the way to webhooks and devices, by user; asked once."""
    now = world.phones.world.clock()
    claims = [
        await world.store.claim(one.name, now=now, limit=100, provisional=now + 1)
        for one in await world.store.lanes()
    ]
    found = [one.notification for claim in claims for one in claim.deliveries]
    return {one.user: one for one in found}


async def test_a_direct_message_is_told_of() -> None:
    """As a notification of `chat` whose id is the message's, normal, for 7 days, in order by
    thread (MS-49, MS-52)."""
    world = PostingWorld()
    await world.device("bob")
    alice = await world.connect("alice")
    sent = await world.write(alice, "bob", "hello")
    one = (await told(world))["bob@acme"]
    assert (one.id, one.service, one.priority) == (sent.message_id, "chat", Priority.NORMAL)
    assert one.expires_at - one.accepted_at == WEEK
    assert one.order_key.endswith("oneToOne/alice@acme")
    body = orjson.loads(one.body)["chatMessageNotification"]
    assert body["chatMessage"]["senderAddress"] == "alice@acme"
    assert body["link"][0]["href"].startswith("/cpaas/chat/v1/bob@acme/oneToOne/alice@acme/")
    assert world.phones.world.sample("notifications_accepted_total", service="chat") == 1


async def test_a_message_to_a_room_is_told_to_each_other_member() -> None:
    """Each with an id of his own; not to the sender (MS-49, MS-52)."""
    world = PostingWorld()
    room = await world.room("alice", "bob", "carol", "dan")
    for id_ in ("alice", "bob", "carol"):
        await world.device(id_)
    sent = await world.write_to_room(await world.connect("alice"), room.id)
    assert {user: one.id for user, one in (await told(world)).items()} == {
        user: str(uuid5(UUID(sent.message_id), user)) for user in ("bob@acme", "carol@acme")
    }


async def test_who_has_no_subscription_costs_nothing() -> None:
    """Nothing is made or stored for him (MS-49)."""
    world = PostingWorld()
    await world.phones.device()
    alice = await world.connect("alice")
    await world.write(alice, "bob")
    core = world.phones.world
    assert (core.store.backlog, (await core.store.oldest())) == (0, {})
    assert core.sample("notifications_accepted_total", service="chat") == 0


async def test_where_messages_are_not_told_of() -> None:
    """`notify` is off (MS-49)."""
    world = PostingWorld(notifies=False)
    await world.hook("bob")
    await world.write(await world.connect("alice"), "bob")
    assert world.store.backlog == 0


async def test_who_wants_no_pushes() -> None:
    """While he is `dnd` his devices are not pushed to; the rest, and the Log, are as ever
    (MS-45)."""
    world = PostingWorld()
    await world.device("bob")
    await world.hook("bob")
    alice, bob = await world.connect("alice"), await world.person("bob")
    world.silenced.add(bob.key)
    await world.write(alice, "bob")
    assert world.store.backlog == 1
    assert {one.name for one in await world.store.lanes()} == {"https://hook.example"}
    assert len(await world.log("bob")) == 1
    world.silenced.clear()
    await world.write(alice, "bob")
    assert world.store.backlog == 3


async def test_everybody_is_told_however_few_are_kept_in_memory() -> None:
    """All accounts are there at the moment a message is stored (MS-49)."""
    world = PostingWorld(Phones(World(channels=ChannelSettings(cached_users=100))))
    others = [f"m{number}" for number in range(110)]
    room = await world.room("alice", *others)
    for id_ in others:
        await world.hook(id_)
    await world.write_to_room(await world.connect("alice"), room.id)
    assert world.store.backlog == len(others)


async def test_it_is_stored_with_its_message_or_not_at_all() -> None:
    """Where the store takes back a subscription that was relied on, the message is refused
    (MS-46)."""
    world = PostingWorld()
    channel = await world.hook("bob")
    alice = await world.connect("alice")
    account = await world.phones.world.directory.account("bob@acme")
    unstored = subscription(channel, "chat", destination="x")
    account.subscriptions[unstored.id] = unstored
    account.begin_change(unstored.id)
    with pytest.raises(RequestError) as refused:
        await world.write(alice, "bob")
    assert refused.value.status == 503
    assert (await world.log("bob"), world.store.backlog) == ([], 0)


async def test_a_socket_gets_it_from_memory(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Notification channels are served as by any publisher, and a receipt on one is one for the
    message (MS-49, MS-54)."""
    world = PostingWorld()
    await world.start(nursery)
    session = world.phones.connect(await world.tab("bob"))
    alice = await world.connect("alice")
    sent = await world.write(alice, "bob")
    assert session.ids == [sent.message_id]
    world.phones.receipt(session, sent.message_id)
    statuses = [orjson.loads(one.rendered.text()) for one in alice.entries[1:]]
    assert [(one["status"], one["subscriber-id"]) for one in statuses] == [("received", "bob")]
