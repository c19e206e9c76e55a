"""`Store`: calls that are over are found and withdrawn (push.md, PU-13)."""

import trio
from tests.fakes.deliveries import T0, device_channel, notification
from tests.fakes.stores import OpenStore, Reports, accept, add

from tocsin.model.channel import Channel, ChannelType
from tocsin.model.notification import Notification
from tocsin.store.interface import Store
from tocsin.store.records import Acceptance, StoredAnswer, Submitted

CALL = "NotifyIncomingCall"
LANE = "apns/com.example.app"


def call(id_: str, order_key: str = "call x", root_key: str = CALL) -> Notification:
    return notification(id_, service="push", root_key=root_key, order_key=order_key)


async def withdraw(store: Store, *ids: int) -> Acceptance:
    acceptance = Acceptance(withdrawing=list(ids))
    await store.accept(acceptance, Reports())
    return acceptance


async def phones(store: Store, count: int) -> list[Channel]:
    channels = [device_channel(f"u{number}", f"t{number}") for number in range(count)]
    await add(store, *channels)
    return channels


async def test_calls_are_found(store: Store) -> None:
    """Those of the order keys asked for, of every user, with the ids of their deliveries; nothing
    else is, and nothing that is over (PU-13)."""
    one, two, three = await phones(store, 3)
    ids = await accept(
        store,
        (call("a"), [one]),
        (call("b"), [two]),
        (call("c", "call y"), [one]),
        (call("d", "call z"), [one]),
        (call("e", root_key="NotifyIncomingCallMissed"), [three]),
        (notification("f", order_key="call x", root_key=CALL), [three]),
    )
    found = await store.find_calls(["call x", "call y", "call of nobody"])
    assert {(id_, call.id) for id_, call in found} == {
        *((ids[0], "a"), (ids[1], "b"), (ids[2], "c"))
    }
    assert await store.find_calls([]) == []
    await withdraw(store, ids[0])
    assert [call.id for _, call in await store.find_calls(["call x"])] == ["b"]


async def test_calls_are_withdrawn(store: Store) -> None:
    """They end as collapsed, whoever's they are, and what stood behind them is due; one that is
    claimed stays (PU-13)."""
    one, two = await phones(store, 2)
    ids = await accept(store, (call("a"), [one]), (call("b"), [one]), (call("c"), [two]))
    assert await claimed_ids_of(store, limit=1) == ["a"]
    acceptance = await withdraw(store, *ids, 12345)
    assert acceptance.trimmed.ids == {ids[1]: "collapsed", ids[2]: "collapsed"}
    assert acceptance.trimmed.ended == {(ChannelType.OMAPUSH, "collapsed"): 2}
    assert {id_: one.id for id_, one in acceptance.trimmed.pushes.items()} == {
        ids[1]: "b",
        ids[2]: "c",
    }
    assert store.backlog == 1


async def test_what_stood_behind_is_due(store: Store) -> None:
    """The next of the same order key (PU-12, PU-13)."""
    [one] = await phones(store, 1)
    ids = await accept(store, (call("a"), [one]), (call("b"), [one]))
    await withdraw(store, ids[0])
    assert await claimed_ids_of(store) == ["b"]


async def test_an_answer_that_replaces_another(open_store: OpenStore) -> None:
    """The later one is found, and both together are one row to count (CH-114, PU-19)."""
    opened = open_store()
    async with trio.open_nursery() as nursery:
        await nursery.start(opened.run)
        for body in (b"[1]", b"[2]"):
            answer = StoredAnswer(3, 200, body)
            submitted = Submitted(1, 2, lambda _repeats, answer=answer: answer, T0)
            await opened.accept(Acceptance(submitted=submitted), Reports())
        found = await opened.find_submission(1, 2)
        assert found is not None
        assert found.body == b"[2]"
        assert opened.remembered["submission"] == 1
        nursery.cancel_scope.cancel()


async def claimed_ids_of(store: Store, limit: int = 9) -> list[str]:
    claim = await store.claim(LANE, now=T0, limit=limit, provisional=T0 + 1000)
    return [one.notification.id for one in claim.deliveries]
