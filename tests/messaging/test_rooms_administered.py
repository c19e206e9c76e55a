"""tocsin.messaging.rooms: what administrators do."""

import gc
from functools import partial

import pytest
import trio
import trio.testing
from tests.fakes.messaging_links import person
from tests.fakes.messaging_world import (
    DOMAIN,
    MessagingWorld,
    administrators,
    names,
    refused,
    texts,
)

from tocsin.delivery.settings import ChannelSettings
from tocsin.messaging.refused import Refused
from tocsin.messaging.settings import MessagingLimits
from tocsin.wire.messaging.clientmessages import CLEARED

DAY = 86_400_000


@pytest.fixture
async def world() -> MessagingWorld:  # noqa: ASYNC124 - to be made inside Trio
    return MessagingWorld()


async def test_administrators_only(world: MessagingWorld) -> None:
    """Section 5: a member without rights is `forbidden` to, for everybody else there is no Room
    (MS-35); nothing changes."""
    ann, bob, cat = await world.people("ann", "bob", "cat")
    room_id = await world.room_of(ann, bob)
    for link, code in ((bob, "forbidden"), (cat, "not-found")):
        await refused(code, world.update(link, room_id, name="Mine"))
        await refused(code, world.delete(link, room_id))
        await refused(code, world.invite(link, room_id, "dan"))
        await refused(code, world.appoint(link, room_id, "bob"))
        await refused(code, world.remove(link, room_id, "ann"))
    room = await world.find(room_id)
    assert (names(room), room.name, room.invited) == (["ann", "bob"], "Day shift", {})
    assert ann.entries == bob.entries == ann.notices == []


async def test_another_name(world: MessagingWorld) -> None:
    """MS-36, MS-47: every member has `membership` updated in his Log, with his own rights; it is
    no act with a reply, so the acting connection gets its entry, too."""
    ann, bob = await world.people("ann", "bob")
    room_id = await world.room_of(ann, bob)
    await world.update(ann, room_id, name="Night shift")
    for link in (ann, bob):
        assert texts(link) == [
            {
                "type": "membership",
                "change": "updated",
                "channel": {
                    "channel-id": room_id,
                    "name": "Night shift",
                    "administrator": link is ann,
                },
            }
        ]
        assert link.notices == []
    await world.update(ann, room_id, attributes=b'{"a":1}')
    assert texts(bob)[1]["channel"]["attributes"] == {"a": 1}
    world.restart()
    room = await world.find(room_id)
    assert (room.name, room.attributes, room.invite_token) == ("Night shift", b'{"a":1}', "s3")


async def test_what_stays_the_same_is_not_told(world: MessagingWorld) -> None:
    """MS-36: nothing has changed."""
    ann, bob = await world.people("ann", "bob")
    room_id = await world.room_of(ann, bob)
    await world.update(ann, room_id, name="Day shift", attributes=b"{}", invite_token="s3")
    assert ann.entries == bob.entries == []


async def test_another_token(world: MessagingWorld) -> None:
    """Section 5: the token is replaced or, by null, cleared; of that nobody is told."""
    ann, bob, cat = await world.people("ann", "bob", "cat")
    room_id = await world.room_of(ann)
    await world.update(ann, room_id, invite_token="s4")
    await refused("not-found", world.join(bob, room_id, "s3"))
    await world.join(bob, room_id, "s4")
    await world.update(ann, room_id, invite_token=CLEARED)
    await refused("not-found", world.join(cat, room_id, "s4"))
    assert texts(ann) == []
    world.restart()
    assert (await world.find(room_id)).invite_token is None


async def test_deleting(world: MessagingWorld) -> None:
    """MS-35: every member, the actor too, is told that he has left; afterwards there is no Room,
    and what was open to the invited is not."""
    ann, bob, cat = await world.people("ann", "bob", "cat")
    room_id = await world.room_of(ann, bob)
    await world.invite(ann, room_id, "cat")
    await world.delete(ann, room_id)
    for link in (ann, bob):
        [left] = texts(link)
        assert (left["type"], left["change"]) == ("membership", "left")
        assert left["channel"]["channel-id"] == room_id
        assert link.notices == []
        assert link.subscriber.rooms == {}
    assert [one["type"] for one in texts(cat)] == ["invitation"]
    await refused("not-found", world.join(cat, room_id, None))
    await refused("not-found", world.join(cat, room_id, "s3"))
    await refused("not-found", world.leave(bob, room_id))
    await refused("not-found", world.delete(ann, room_id))
    world.restart()
    assert await world.register.room(DOMAIN, room_id) is None


async def test_inviting(world: MessagingWorld) -> None:
    """Section 6, MS-33, MS-47, MS-49: each one invited has an `invitation` from who invited him,
    without the token, in his Log, known or not, and a notification if he has subscribed to chat;
    nobody else is told."""
    ann, bob = await world.people("ann", "bob")
    room_id = await world.create(ann, attributes=b'{"a":1}')
    ann.entries.clear()
    await world.subscribe_chat("bob@acme")
    await world.invite(ann, room_id, "bob", "zoe")
    invitation = {
        "type": "invitation",
        "channel-id": room_id,
        "name": "Day shift",
        "from": "ann",
        "administrator": False,
        "attributes": {"a": 1},
    }
    assert texts(bob) == [invitation]
    zoe = await world.register.subscriber(DOMAIN, "zoe")
    assert await world.log_of(zoe) == [invitation]
    assert not zoe.is_known
    assert ann.entries == ann.notices == []
    [told] = await world.notified("bob@acme")
    assert told.service == "chat"
    assert told.root_key == "groupChatSessionInvitationNotification"
    assert told.user == "bob@acme"
    assert bob.entries[0].notification == 0
    assert await world.notified("zoe@acme") == []


async def test_accounts_that_were_forgotten_are_looked_up_again(world: MessagingWorld) -> None:
    """MS-49: who is invited is notified, though others needed the place of his account while the
    Room was read anew."""
    world = MessagingWorld(channels=ChannelSettings(cached_users=100))
    ann, _ = await world.people("ann", "bob")
    room_id = await world.create(ann)
    await world.subscribe_chat("bob@acme")
    room = await world.find(room_id)
    async with trio.open_nursery() as nursery:
        await world.store.hold_up()
        nursery.start_soon(world.invite, ann, room_id, "zoe", "bob")
        await trio.testing.wait_all_tasks_blocked()
        room.is_doubtful = True
        world.store.go_on()
        await world.store.hold_up()
        await trio.testing.wait_all_tasks_blocked()
        await world.notices.prepare([person(key) for key in range(100)])
        gc.collect()
        assert world.core.directory.cached("bob@acme") is None
        world.store.go_on()
    assert len(await world.notified("bob@acme")) == 1


async def test_an_invitation_lets_in_once(world: MessagingWorld) -> None:
    """MS-33: it is open until joined, also after a restart; the others are told then."""
    ann, bob = await world.people("ann", "bob")
    room_id = await world.create(ann, invite_token=None)
    await world.invite(ann, room_id, "bob")
    world.restart()
    ann, bob = await world.people("ann", "bob")
    await world.join(bob, room_id, None)
    assert [one["change"] for one in ann.notices] == ["joined"]
    await world.leave(bob, room_id)
    await refused("not-found", world.join(bob, room_id, None))
    world.restart()
    assert (await world.find(room_id)).invited == {}


async def test_inviting_again_changes_nothing(world: MessagingWorld) -> None:
    """MS-33: a member, oneself or one who is invited is not told again, whoever else is."""
    ann, bob, cat = await world.people("ann", "bob", "cat")
    room_id = await world.room_of(ann, bob)
    await world.invite(ann, room_id, "cat")
    await world.invite(ann, room_id, "ann", "bob", "cat")
    await world.invite(ann, room_id)
    await world.invite(ann, room_id, "cat", "dan")
    assert ann.entries == bob.entries == []
    assert len(texts(cat)) == 1
    assert len((await world.find(room_id)).invited) == 2


async def test_an_invitation_is_over_after_a_month(world: MessagingWorld) -> None:
    """MS-33: 30 d; then it lets nobody in, and a new one can be opened, which counts from then."""
    ann, bob = await world.people("ann", "bob")
    room_id = await world.create(ann)
    await world.invite(ann, room_id, "bob")
    room = await world.find(room_id)
    until = room.invited[bob.subscriber.key].until
    assert until == world.at + 30 * DAY
    world.at = until
    await refused("not-found", world.join(bob, room_id, None))
    await refused("not-found", world.remove(ann, room_id, "bob"))
    await world.invite(ann, room_id, "bob")
    assert len(texts(bob)) == 2
    world.at += 1
    await world.join(bob, room_id, None)


async def test_the_oldest_of_too_many_invitations_lapses(world: MessagingWorld) -> None:
    """Section 12: in memory as in the store; the newer ones stay open."""
    world = MessagingWorld(limits=MessagingLimits(invitations=2))
    ann, bob = await world.people("ann", "bob")
    rooms = [await world.create(ann) for _ in range(3)]
    for room_id in rooms:
        await world.invite(ann, room_id, "bob")
    await refused("not-found", world.join(bob, rooms[0], None))
    assert (await world.find(rooms[0])).invited == {}
    await world.join(bob, rooms[1], None)
    await world.join(bob, rooms[2], None)


async def test_a_renewed_invitation_is_not_the_oldest(world: MessagingWorld) -> None:
    """Section 12: one that was over and has been opened again is as young as it looks."""
    world = MessagingWorld(limits=MessagingLimits(invitations=2, invitation_age=60))
    ann, bob = await world.people("ann", "bob")
    first, second, third = [await world.create(ann) for _ in range(3)]
    await world.invite(ann, first, "bob")
    world.at += 40_000
    await world.invite(ann, second, "bob")
    world.at += 20_000
    await world.invite(ann, first, "bob")
    await world.invite(ann, third, "bob")
    await refused("not-found", world.join(bob, second, None))
    await world.join(bob, first, None)
    await world.join(bob, third, None)


async def test_open_invitations_of_a_room_are_bounded(world: MessagingWorld) -> None:
    """MS-68: no more than it may have members; those that are over do not count."""
    world = MessagingWorld(limits=MessagingLimits(room_members=2, invitation_age=60))
    [ann] = await world.people("ann")
    room_id = await world.create(ann)
    await refused("conflict", world.invite(ann, room_id, "s1", "s2", "s3"))
    await world.invite(ann, room_id, "s1", "s2")
    await refused("conflict", world.invite(ann, room_id, "s2", "s3"))
    world.at += 60_000
    await world.invite(ann, room_id, "s3", "s4")


async def test_withdrawing_an_invitation(world: MessagingWorld) -> None:
    """MS-33: `removed:true` closes it; what is not there is `not-found`, rights of one who is no
    member too."""
    ann, bob = await world.people("ann", "bob")
    room_id = await world.create(ann)
    await world.invite(ann, room_id, "bob")
    await refused("not-found", world.appoint(ann, room_id, "bob"))
    await world.remove(ann, room_id, "bob")
    await refused("not-found", world.join(bob, room_id, None))
    await refused("not-found", world.remove(ann, room_id, "bob"))
    await refused("not-found", world.remove(ann, room_id, "nobody"))
    world.restart()
    assert (await world.find(room_id)).invited == {}


async def test_rights(world: MessagingWorld) -> None:
    """MS-36, MS-47: who gets or loses them has `membership` updated, the others, the actor
    included, a `subscriber`; saying what is so already tells nobody."""
    ann, bob, cat = await world.people("ann", "bob", "cat")
    room_id = await world.room_of(ann, bob, cat)
    await world.appoint(ann, room_id, "bob")
    await world.appoint(ann, room_id, "bob")
    [updated] = texts(bob)
    assert (updated["type"], updated["change"]) == ("membership", "updated")
    assert updated["channel"]["administrator"] is True
    assert bob.notices == []
    for link in (ann, cat):
        [told] = link.notices
        assert (told["change"], told["channel-id"]) == ("updated", room_id)
        assert told["subscriber"]["id"] == "bob"
        assert told["subscriber"]["administrator"] is True
    assert texts(ann) == texts(cat) == []
    await world.appoint(bob, room_id, "ann", administrator=False)
    assert [one["channel"]["administrator"] for one in texts(ann)] == [False]
    world.restart()
    assert administrators(await world.find(room_id)) == {"bob"}


async def test_a_room_keeps_an_administrator(world: MessagingWorld) -> None:
    """MS-34: demoting the last one is `conflict`; one of two may give up his own rights."""
    ann, bob = await world.people("ann", "bob")
    room_id = await world.room_of(ann, bob)
    await refused("conflict", world.appoint(ann, room_id, "ann", administrator=False))
    await world.appoint(ann, room_id, "bob")
    await world.appoint(ann, room_id, "ann", administrator=False)
    assert [one["channel"]["administrator"] for one in texts(ann)] == [False]
    await refused("conflict", world.appoint(bob, room_id, "bob", administrator=False))


async def test_removing(world: MessagingWorld) -> None:
    """MS-35, MS-36: who is removed has `membership` left, on all connections, the others are told;
    afterwards there is no Room for him. Removing oneself is `conflict` (MS-34)."""
    ann, bob, bob2, cat = await world.people("ann", "bob", "bob", "cat")
    room_id = await world.room_of(ann, bob, cat)
    bob2.entries.clear()
    bob2.notices.clear()
    await world.remove(ann, room_id, "bob")
    for link in (bob, bob2):
        [left] = texts(link)
        assert (left["type"], left["change"]) == ("membership", "left")
        assert link.notices == []
    for link in (ann, cat):
        assert [(one["change"], one["subscriber"]["id"]) for one in link.notices] == [
            ("left", "bob")
        ]
    assert texts(ann) == texts(cat) == []
    await refused("not-found", world.rooms.list_members(bob.subscriber, room_id))
    await refused("conflict", world.remove(ann, room_id, "ann"))
    world.restart()
    assert names(await world.find(room_id)) == ["ann", "cat"]


async def test_two_administrators_who_remove_each_other(world: MessagingWorld) -> None:
    """MS-34: the first act counts, so the second is by somebody for whom there is no Room."""
    ann, bob = await world.people("ann", "bob")
    room_id = await world.room_of(ann, bob)
    await world.appoint(ann, room_id, "bob")
    codes: list[str] = []

    async def remove(link: object, id_: str) -> None:
        try:
            await world.remove(link, room_id, id_)  # type: ignore[arg-type]
        except Refused as error:
            codes.append(error.error.code)

    async with trio.open_nursery() as nursery:
        with world.store.held_up():
            nursery.start_soon(remove, ann, "bob")
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(remove, bob, "ann")
            await trio.testing.wait_all_tasks_blocked()
    assert codes == ["not-found"]
    assert names(await world.find(room_id)) == ["ann"]


async def test_who_loses_his_rights_while_he_looks_is_refused(world: MessagingWorld) -> None:
    """Section 5: an act is decided by what is so when all has been looked up."""
    ann, bob = await world.people("ann", "bob")
    room_id = await world.room_of(ann, bob)
    await world.appoint(ann, room_id, "bob")
    codes: list[str] = []

    async def invite() -> None:
        try:
            await world.invite(bob, room_id, "zoe")
        except Refused as error:
            codes.append(error.error.code)

    async with trio.open_nursery() as nursery:
        with world.store.held_up():
            nursery.start_soon(invite)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(partial(world.appoint, ann, room_id, "bob", administrator=False))
            await trio.testing.wait_all_tasks_blocked()
    assert codes == ["forbidden"]
    assert (await world.find(room_id)).invited == {}


async def test_entries_are_in_the_order_of_the_acts(world: MessagingWorld) -> None:
    """MS-21: acts of different connections are stored in the order they were decided."""
    ann, bob = await world.people("ann", "bob")
    room_id = await world.room_of(ann, bob)
    await world.appoint(ann, room_id, "bob")
    bob.entries.clear()
    async with trio.open_nursery() as nursery:
        with world.store.held_up():
            for number in range(6):
                link = (ann, bob)[number % 2]
                nursery.start_soon(partial(world.update, link, room_id, name=f"{number}"))
                await trio.testing.wait_all_tasks_blocked()
    assert [one["channel"]["name"] for one in texts(bob)] == list("012345")
    assert (await world.find(room_id)).name == "5"
    assert [entry.seq for entry in bob.entries] == sorted(entry.seq for entry in bob.entries)
