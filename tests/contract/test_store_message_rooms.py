"""The rules of `tocsin.store.messages`: Rooms, their members and invitations."""

import pytest
import trio
from tests.fakes.deliveries import T0
from tests.fakes.mail import DOMAIN, Postbox, load
from tests.fakes.stores import OpenStore

from tocsin.model.conversation import Member, Room
from tocsin.model.errors import StoreError
from tocsin.store.mail import (
    DropInvitation,
    DropMember,
    DropRoom,
    PutMember,
    PutRoom,
    RoomChange,
)


@pytest.fixture
async def post(open_store: OpenStore, nursery: trio.Nursery) -> Postbox:
    """An empty store that runs."""
    opened = open_store()
    await nursery.start(opened.run)
    return Postbox(opened)


def shape(room: Room | None) -> object:
    """What a Room is, for comparing two objects of one."""
    if room is None:
        return None
    members = [
        (m.subscriber.id, m.administrator, m.joined_at, m.joined_after)
        for m in room.members.values()
    ]
    invited = [(key, one.sender, one.until) for key, one in room.invited.items()]
    about = (room.key, room.id, room.domain, room.name, room.created_at, room.invite_token)
    return (*about, room.attributes, members, invited, room.is_over, room.is_doubtful)


async def test_a_room_is_loaded_as_it_was_stored(post: Postbox) -> None:
    """With its members in order of joining, whose objects the caller has (MS-34, MS-70)."""
    bob, ann, cid = (post.person(name) for name in ("bob", "ann", "cid"))
    room = await post.room(bob, ann)
    room.name, room.invite_token, room.attributes = "Night", "s3", b'{"a":1}'
    room.members[ann.key] = Member(ann, True, T0 + 1, "some-id")
    await post.change(PutRoom(room), PutMember(room, room.members[ann.key]))
    await post.invite(room, cid, T0 + 50)
    loaded = await post.store.load_room(DOMAIN, room.id, load)
    assert loaded is not None
    assert [member.subscriber.id for member in loaded.members.values()] == ["bob", "ann"]
    assert list(loaded.invited) == [cid.key]
    room.invited = loaded.invited
    assert shape(loaded) == shape(room)


async def test_objects_are_asked_for(post: Postbox) -> None:
    """A member is the object that is in use already (Register)."""
    ann = post.person("ann")
    await post.room(ann)
    loaded = await post.store.load_room(DOMAIN, "r-1", lambda *_who: ann)
    assert loaded is not None
    assert loaded.members[ann.key].subscriber is ann


async def test_nobody_elses_room(post: Postbox) -> None:
    """Of another domain, or none at all (MS-2, MS-32)."""
    await post.room(post.person("ann"))
    assert await post.store.load_room("other", "r-1", load) is None
    assert await post.store.load_room(DOMAIN, "r-2", load) is None


async def test_a_doubtful_room_is_read_anew(post: Postbox) -> None:
    """In place; whether it is doubtful is for whoever asks to say."""
    ann, bob = post.person("ann"), post.person("bob")
    room = await post.room(ann)
    stored = shape(room)
    room.name, room.is_over, room.is_doubtful = "wrong", True, True
    room.members[bob.key] = Member(bob, True, T0)
    await post.store.reload_room(room, load)
    room.is_doubtful = False
    assert shape(room) == stored


async def test_a_room_that_is_over(post: Postbox) -> None:
    """Is gone with its members and invitations; its name and key are not given again (MS-35)."""
    ann, bob = post.person("ann"), post.person("bob")
    room = await post.room(ann)
    await post.send(ann, room)
    await post.invite(room, bob, T0 + 50)
    other = await post.room(ann, id_="r-2")
    await post.change(DropRoom(room))
    assert await post.store.load_room(DOMAIN, room.id, load) is None
    assert await post.store.rooms_of(ann.key) == [other.id]
    assert await post.store.lapse_invitations(T0 + 99, limit=9) == []
    await post.store.reload_room(room, load)
    assert (room.is_over, room.members, room.invited) == (True, {}, {})
    assert await post.log(ann) == ["hi"]


async def test_rooms_in_order_of_joining(post: Postbox) -> None:
    """Who has left and joins again stands last (MS-34)."""
    ann, bob = post.person("ann"), post.person("bob")
    rooms = [await post.room(bob, ann, id_=f"r-{number}") for number in range(3)]
    await post.change(DropMember(rooms[0], ann.key))
    assert await post.store.rooms_of(ann.key) == ["r-1", "r-2"]
    await post.change(PutMember(rooms[0], Member(ann, False, T0 - 5)))
    assert await post.store.rooms_of(ann.key) == ["r-1", "r-2", "r-0"]


async def test_changes_are_made_in_their_order(post: Postbox) -> None:
    """What goes and comes within one act is there, and the other way round (MS-70)."""
    ann, bob, cid = (post.person(name) for name in ("ann", "bob", "cid"))
    room = await post.room(ann, bob)
    changes: list[RoomChange] = [
        DropMember(room, bob.key),
        PutMember(room, Member(bob, True, T0)),
        PutMember(room, Member(cid, True, T0)),
        DropMember(room, cid.key),
    ]
    await post.change(*changes, subscribers=[cid])
    loaded = await post.store.load_room(DOMAIN, room.id, load)
    assert loaded is not None
    assert [(m.subscriber.id, m.administrator) for m in loaded.members.values()] == [
        ("ann", True),
        ("bob", True),
    ]


async def test_the_oldest_invitation_lapses(post: Postbox) -> None:
    """Of who has too many; whoever keeps Rooms in memory is told which (section 12)."""
    ann, bob, cid = (post.person(name) for name in ("ann", "bob", "cid"))
    rooms = [await post.room(ann, id_=f"r-{number}") for number in range(3)]
    await post.invite(rooms[0], cid, T0, most=2)
    found = [await post.invite(room, bob, T0 + 99, most=2) for room in rooms[:2]]
    again = await post.invite(rooms[0], bob, T0 + 99, most=2)
    assert [list(mail.lapsed) for mail in (*found, again)] == [[], [], []]
    third = await post.invite(rooms[2], bob, T0 + 99, most=2)
    assert third.lapsed == [(rooms[0].key, bob.key)]
    loaded = await post.store.load_room(DOMAIN, "r-0", load)
    assert loaded is not None
    assert list(loaded.invited) == [cid.key]


async def test_invitations_end(post: Postbox) -> None:
    """Taken up or withdrawn at once, else when their time is up (MS-33)."""
    ann, bob, cid = (post.person(name) for name in ("ann", "bob", "cid"))
    room = await post.room(ann)
    await post.invite(room, bob, T0 + 1)
    await post.invite(room, cid, T0 + 2)
    await post.change(DropInvitation(room, cid.key))
    assert await post.store.lapse_invitations(T0, limit=9) == []
    assert await post.store.lapse_invitations(T0 + 99, limit=9) == [(room.key, bob.key)]
    assert await post.store.lapse_invitations(T0 + 99, limit=9) == []


async def test_a_room_that_cannot_be_stored(post: Postbox) -> None:
    """Two of one id, which a uuid4 never is: nothing of the second one is there (MS-70)."""
    ann, bob = post.person("ann"), post.person("bob")
    await post.room(ann)
    with pytest.raises(StoreError):
        await post.room(bob)
    assert await post.store.rooms_of(bob.key) == []
    assert await post.store.find_subscribers(DOMAIN, ["bob"]) == {}
    assert isinstance(post.reports.errors[-1], StoreError)


def test_keys_are_given_once(open_store: OpenStore) -> None:
    """To Subscribers and Rooms that are not stored yet, too."""
    store = open_store()
    assert len({store.next_subscriber_key() for _ in range(3)}) == 3
    assert len({store.next_room_key() for _ in range(3)}) == 3
