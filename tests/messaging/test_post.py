"""tocsin.messaging.post: acts in the order in which they were decided, each with one end."""

from collections.abc import Callable, Sequence

import pytest
import trio
from tests.fakes.phones import Phones
from tests.fakes.posting_world import PostingWorld
from tests.fakes.stores import Reports
from tests.fakes.world import MEMORY, World
from trio.testing import wait_all_tasks_blocked

from tocsin.delivery.settings import DeliveryLimits
from tocsin.messaging.refused import Refused
from tocsin.model.conversation import between
from tocsin.model.errors import RequestError, StoreError
from tocsin.store.mail import Letter, Mail, Posted
from tocsin.store.records import Acceptance, AccountRecord
from tocsin.store.sqlite import SqliteStore
from tocsin.wire.messaging.ids import MessageIds
from tocsin.wire.messaging.rendered import rendered

TEXT = rendered("membership", {"change": "updated"})


class StubbornStore(SqliteStore):
    """Refuses everything while it `is_failing`; accounts are not found before `may_look`."""

    def __init__(self) -> None:
        super().__init__(MEMORY, threaded=False)
        self.is_failing = False
        self.may_look = trio.Event()

    async def accept(
        self, acceptance: Acceptance, on_done: Callable[[StoreError | None], None]
    ) -> None:
        if self.is_failing:
            error = StoreError("the disk is full")
            on_done(error)
            raise error
        await super().accept(acceptance, on_done)

    async def load_accounts(self, users: Sequence[str]) -> list[AccountRecord]:
        await self.may_look.wait()
        return await super().load_accounts(users)


@pytest.fixture
def store() -> StubbornStore:
    """One that may be told to fail."""
    return StubbornStore()


@pytest.fixture
async def world(store: StubbornStore) -> PostingWorld:
    """Over that, with room for one delivery."""
    return PostingWorld(Phones(World(store=store, limits=DeliveryLimits(backlog=1))))


async def mail_to(world: PostingWorld, id_: str, *, is_letter: bool) -> Mail:
    """Something for somebody's Log."""
    alice, one = await world.person("alice"), await world.person(id_)
    letter = Letter(MessageIds(world.phones.world.clock)(), between(alice, one), alice, 0, TEXT)
    return Mail(
        0,
        letter=letter if is_letter else None,
        entries=[Posted(one.key, TEXT, is_letter=is_letter)],
    )


async def fill(world: PostingWorld) -> None:
    """No delivery has room any more."""
    await world.phones.world.hook()
    await world.phones.world.publish("a")


@pytest.mark.parametrize("reason", ["backlog", "store"])
async def test_what_is_not_stored_is_told_once(
    world: PostingWorld, store: StubbornStore, reason: str
) -> None:
    """Whoever has changed his memory before is told that it is not so, and the caller gets a 503
    (MS-17, MS-69)."""
    store.may_look.set()
    mail = await mail_to(world, "bob", is_letter=True)
    if reason == "backlog":
        await fill(world)
    else:
        store.is_failing = True
    reports = Reports()
    with pytest.raises(RequestError) as refused:
        await world.post.send(mail, on_done=reports)
    assert (refused.value.status, refused.value.label) == (503, reason)
    [error] = reports.errors
    assert isinstance(error, StoreError)
    assert await world.log("bob") == []


async def test_past_the_backlog_everything_but_messages_goes_on(
    world: PostingWorld, store: StubbornStore
) -> None:
    """What is no message and goes to no channel needs no room there (MS-69)."""
    store.may_look.set()
    await fill(world)
    reports = Reports()
    await world.post.send(await mail_to(world, "bob", is_letter=False), on_done=reports)
    assert reports.errors == [None]
    assert len(await world.log("bob")) == 1


async def test_it_is_handed_over_before_anybody_is_told(
    world: PostingWorld, store: StubbornStore
) -> None:
    """Connections have it when the act is done (MS-21)."""
    bob = await world.connect("bob")
    seen: list[list[int]] = []
    mail = await mail_to(world, "bob", is_letter=False)
    await world.post.send(mail, on_done=lambda _error: seen.append(bob.seqs))
    assert seen == [[1]]


async def test_who_leaves_while_accounts_are_looked_up(
    world: PostingWorld, store: StubbornStore, nursery: trio.Nursery
) -> None:
    """A message goes to those who are members when it is stored, from one who still is (MS-46)."""
    room = await world.room("alice", "bob", "carol")
    alice, bob = await world.connect("alice"), await world.connect("bob")
    refused: list[Refused] = []

    async def write() -> None:
        await world.write_to_room(alice, room.id)

    async def write_in_vain() -> None:
        try:
            await world.write_to_room(bob, room.id)
        except Refused as error:
            refused.append(error)

    nursery.start_soon(write)
    nursery.start_soon(write_in_vain)
    await wait_all_tasks_blocked()
    world.register.depart(room, bob.subscriber)
    store.may_look.set()
    await wait_all_tasks_blocked()
    assert len(refused) == 1
    assert [len(await world.log(id_)) for id_ in ("alice", "bob", "carol")] == [1, 0, 1]
