"""The gateway over the real straight line, in virtual time (push.md, A.3 to A.6): its answers, its
channels."""

from typing import Any

import pytest
import trio
import trio.testing
from tests.fakes.deliveries import device_channel, notification
from tests.fakes.gatewayapps import (
    ANDROID,
    APP,
    ELSEWHERE,
    MISSED,
    OTHER_TOKEN,
    TOKEN,
    VOIP,
    call,
    text,
)
from tests.fakes.gatewayworld import (
    GONE_MANY,
    GONE_ONE,
    UNREGISTERED,
    gateway_world,
    settings,
)

from tocsin.delivery.settings import DeliveryLimits
from tocsin.model.channel import Device
from tocsin.model.gatewayuser import app_of, gateway_user
from tocsin.model.outcome import Deferred, Delivered, Outcome, Refused
from tocsin.store.records import Acceptance
from tocsin.store.sqlite import SqliteStore, StoreSettings
from tocsin.wire.push.pnm2 import (
    FAILED,
    NOT_AN_OBJECT,
    QUEUED,
    SENT,
    TOO_LARGE,
    UNKNOWN_VERB,
    Reply,
)

DAY = 86_400


def tokens(count: int) -> list[str]:
    return [f"{number:04x}" * 16 for number in range(count)]


@pytest.mark.parametrize(
    ("act", "reply", "seconds"),
    [
        (Delivered(200), SENT, 0),
        (3.5, SENT, 3.5),
        (5.0, QUEUED, 4),
        (UNREGISTERED, GONE_ONE, 0),
        (Refused("payload_too_large", 413), TOO_LARGE, 0),
        (Refused("bad_request", 400), FAILED, 0),
        (Refused("unknown_outcome"), FAILED, 0),
        (Deferred("unavailable", 30, 503), QUEUED, 4),
        (Deferred("connect", 2), SENT, 2),
    ],
)
async def test_answers(
    autojump_clock: trio.testing.MockClock, act: Outcome | float, reply: Reply, seconds: float
) -> None:
    """Row by row what a caller is told, and when: as soon as it is settled, at the deadline if
    it is still out (PU-14)."""
    async with gateway_world() as world:
        await world.prove(APP)
        world.provider.script[TOKEN] = [act]
        start = trio.current_time()
        assert await world.send(text()) == reply
        assert trio.current_time() - start == pytest.approx(seconds, abs=0.2)
        assert (await world.pending() > 0) is (reply is QUEUED)
        assert world.gateway.waiting == len(world.endings) == 0


async def test_what_expires_while_it_is_waited_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """500, and nothing of it stays, not even a dead letter (PU-14, PU-15)."""
    async with gateway_world(push=settings(ack_deadline=15)) as world:
        world.provider.script[TOKEN] = [Deferred("unavailable", 2, 503)] * 20
        assert await world.send(text(Ttl=5)) == FAILED
        counts = await world.store.counts()
        assert (sum(counts.pending.values()), sum(counts.dead.values())) == (0, 0)
        assert world.late == []


async def test_a_refusal_after_the_answer_leaves_a_dead_letter(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What was answered 200 and is refused later is kept, and told as feedback (PU-15, PU-17)."""
    async with gateway_world() as world:
        world.provider.script[TOKEN] = [Deferred("unavailable", 10, 503), Refused("bad_request")]
        assert await world.send(text()) == QUEUED
        await trio.sleep(30)
        assert sum((await world.store.counts()).dead.values()) == 1
        assert [(one.root_key, ending.result) for one, ending in world.late] == [
            ("NotifyGenericTextMessage", "refused")
        ]


async def test_lists(autojump_clock: trio.testing.MockClock) -> None:
    """One answer in the order of the elements, whatever each comes to; the text of a dead token
    is the list's own; nothing to do is answered at once (PU-6, A.4)."""
    async with gateway_world() as world:
        await world.prove(APP, VOIP)
        world.provider.script[OTHER_TOKEN] = [UNREGISTERED]
        asked = [text(), None, text(OTHER_TOKEN), text(verb="x"), call()]
        assert await world.ask(*asked) == [SENT, NOT_AN_OBJECT, GONE_MANY, UNKNOWN_VERB, SENT]
        assert await world.ask() == []
        assert await world.ask(None) == [NOT_AN_OBJECT]
        assert world.sample("push_selector_missing_total") == 2


async def test_a_thousand_at_once(autojump_clock: trio.testing.MockClock) -> None:
    """One transaction, and an answer in well under a second where the provider takes 50 ms
    (PU-6, PU-89)."""
    commits: list[int] = []
    store = SqliteStore(StoreSettings(path=":memory:"), threaded=False)
    async with gateway_world(store=store) as world:
        for token in tokens(1000):
            world.provider.script[token] = [0.05]
        accept = store.accept

        async def counted(*args: Any) -> None:
            commits.append(len(args[0].notifications))
            await accept(*args)

        store.accept = counted  # type: ignore[method-assign]
        start = trio.current_time()
        assert await world.ask(*map(text, tokens(1000))) == [SENT] * 1000
        assert trio.current_time() - start < 1
        assert commits == [1000]
        assert world.sample("channels", type="OMAPush") == 1000


async def test_durable_apps(autojump_clock: trio.testing.MockClock) -> None:
    """`ack = "durable"`: queued as soon as it is stored, whatever comes of it (PU-14)."""
    async with gateway_world() as world:
        world.provider.script[TOKEN] = [1.0]
        start = trio.current_time()
        assert await world.send(text(AppId="durable.app")) == QUEUED
        assert trio.current_time() == start
        await trio.sleep(2)
        assert [ending.result for _, ending in world.late] == ["delivered"]


async def test_blocked_lanes(autojump_clock: trio.testing.MockClock) -> None:
    """Nobody is kept waiting for a lane that attempts nothing; others are (PU-16)."""
    async with gateway_world() as world:
        world.blocked[f"apns/{APP}"] = "key_paused"
        start = trio.current_time()
        world.provider.script[TOKEN] = [1.0]
        assert await world.send(text()) == QUEUED
        assert trio.current_time() == start
        assert await world.ask(text(), text("tok", AppId=ANDROID)) == [QUEUED, SENT]


async def test_the_bound_of_waiting(autojump_clock: trio.testing.MockClock) -> None:
    """More than may wait are answered as durable; the places are given back (PU-17)."""
    async with gateway_world(push=settings(max_waiting=2)) as world:
        for token in tokens(3):
            world.provider.script[token] = [1.0, 1.0]
        answers = [await world.ask(*map(text, tokens(3))) for _ in range(2)]
        assert answers == [[SENT, SENT, QUEUED]] * 2
        await trio.sleep(2)
        assert len(world.late) == 2
    async with gateway_world(push=settings(max_waiting=0)) as world:
        assert await world.send(text()) == QUEUED


async def test_a_token_that_changed_during_the_attempt(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What the provider says of the old one is no word on the new one, be it given in the same
    millisecond; that gets the push (PU-25, PU-50)."""
    async with gateway_world() as world:
        await world.prove(APP)
        account = await world.directory.account("alice")
        registered = device_channel("alice", TOKEN, app=APP, now=world.clock())
        channel = await world.directory.open_channel(account, registered)
        now = world.clock()

        async def change() -> Outcome:
            anew = device_channel("alice", OTHER_TOKEN, app=APP, now=now)
            assert await world.directory.open_channel(account, anew) is channel
            return UNREGISTERED

        world.provider.script[TOKEN] = [change]
        acceptance = Acceptance()
        acceptance.add(notification("n", user="alice", accepted_at=now), [channel])
        await world.ingest.store(acceptance)
        await trio.sleep(2)
        assert account.channels == {channel.id: channel}
        assert [one.token for one in world.provider.attempts[1:]] == [TOKEN, OTHER_TOKEN]
        assert world.sample("deliveries_total", type="OMAPush", outcome="delivered") == 2


async def test_dead_tokens(autojump_clock: trio.testing.MockClock) -> None:
    """A token found dead is answered 404 for an hour without asking the provider, and its channel
    is gone; then the provider is asked again (PU-48)."""
    async with gateway_world() as world:
        await world.prove(APP)
        world.provider.script[TOKEN] = [UNREGISTERED]
        assert await world.send(text()) == GONE_ONE
        asked = len(world.provider.attempts)
        assert await world.ask(text(), text(OTHER_TOKEN)) == [GONE_MANY, SENT]
        assert len(world.provider.attempts) == asked + 1
        assert (await world.directory.account(gateway_user(APP, TOKEN))).channels == {}
        await trio.sleep(3601)
        assert await world.send(text()) == SENT


# -- channels --------------------------------------------------------------------------------


async def test_one_channel_for_each_app_and_token(autojump_clock: trio.testing.MockClock) -> None:
    """Made with the first push, of a user that is nobody, found again afterwards (PU-23)."""
    async with gateway_world() as world:
        await world.ask(text(), text(TOKEN.upper()), text(OTHER_TOKEN), call())
        assert world.sample("channels", type="OMAPush") == 3
        user = gateway_user(APP, TOKEN)
        [channel] = (await world.directory.account(user)).channels.values()
        assert channel.device == Device("apns", APP, TOKEN)
        assert app_of(channel.user) == APP
        await world.send(text())
        assert world.sample("channels", type="OMAPush") == 3
        assert sum((await world.store.counts()).channels.values()) == 3


async def test_use_is_written_down_once_a_day(autojump_clock: trio.testing.MockClock) -> None:
    """So that a channel is dropped 30 days after its last push, not after its first (PU-23)."""
    async with gateway_world() as world:
        user = gateway_user(APP, TOKEN)

        async def used_at() -> int | None:
            [record] = await world.store.load_accounts([user])
            [channel] = record.channels
            return channel.used_at

        first = world.clock()
        await world.send(text())
        await trio.sleep(DAY / 2)
        await world.send(text())
        assert await used_at() == first
        await trio.sleep(DAY / 2)
        second = world.clock()
        await world.send(text())
        assert await used_at() == second


async def test_order_within_a_call(autojump_clock: trio.testing.MockClock) -> None:
    """What concerns one call goes to a token in order; other calls do not wait (PU-12)."""
    async with gateway_world() as world:
        world.provider.script[TOKEN] = [1.0, 1.0]
        other = call(MISSED, Id="call-2")
        replies = await world.ask(call(MISSED), call(ELSEWHERE), other)
        assert replies == [SENT] * 3
        assert world.provider.verbs() == [MISSED, MISSED, ELSEWHERE]
        assert [one.at for one in world.provider.attempts] == pytest.approx([0, 0, 1], abs=0.2)


async def test_a_call_does_not_wait_for_pushes_that_hang(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """However many are under way, some attempts are kept for what is urgent, and only some
    (PU-36)."""
    async with gateway_world() as world, trio.open_nursery() as nursery:
        hanging = tokens(300)
        world.provider.script.update({token: [9.0, 9.0] for token in hanging})

        async def ask(verb: str, *to: str) -> None:
            await world.ask(*(text(one, verb=verb, Selector=one, Id=one) for one in to))

        nursery.start_soon(ask, "NotifyTextMessage", *hanging)
        await trio.sleep(1)
        assert len(world.provider.attempts) == 200
        assert await world.send(text(OTHER_TOKEN, verb=MISSED, Selector="s", Id="c")) == SENT
        assert trio.current_time() == pytest.approx(1)
        nursery.start_soon(ask, MISSED, *hanging[:100])
        await trio.sleep(1)
        assert world.provider.verbs().count(MISSED) == 1 + 20
        nursery.cancel_scope.cancel()


async def test_a_call_does_not_wait_for_apps_that_hang(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Some slots are kept for what is urgent, whoever has the others, and only some; when that is
    over, the rest goes on (PU-36)."""
    async with gateway_world(slots=40) as world, trio.open_nursery() as nursery:
        hanging = tokens(60)
        world.provider.script.update({token: [9.0] for token in hanging})
        nursery.start_soon(world.ask, *map(text, hanging))
        await trio.sleep(1)
        assert len(world.provider.attempts) == 36
        for number in range(10):
            world.provider.script[OTHER_TOKEN] = [0.1]
            assert await world.send(call(DeviceToken=OTHER_TOKEN, Id=f"call-{number}")) == SENT
        assert trio.current_time() == pytest.approx(2, abs=0.1)
        assert len(world.provider.attempts) == 36 + 10
        callees = tokens(80)[60:]
        world.provider.script.update({token: [1.0] for token in callees})
        nursery.start_soon(world.ask, *(call(DeviceToken=one, Id=one) for one in callees))
        await trio.sleep(0.5)
        assert len(world.provider.attempts) == 36 + 10 + 4
        await trio.sleep(20)
        assert len(world.provider.attempts) == 60 + 10 + 20
        assert await world.pending() == 0


async def test_reprovisioning_collapses(autojump_clock: trio.testing.MockClock) -> None:
    """A newer one for the same account replaces one that is not sent; its caller is told that it
    is queued (PU-12, PU-14)."""
    async with gateway_world() as world:
        element = text(verb="NotifyReprovision", Selector="alice", Message=None)
        replies = await world.ask(element, {**element, "Selector": "bob"}, element)
        assert replies == [QUEUED, SENT, SENT]
        assert len(world.provider.attempts) == 2
        assert world.sample("deliveries_total", type="OMAPush", outcome="collapsed") == 1


async def test_overflow(autojump_clock: trio.testing.MockClock) -> None:
    """What a full channel drops is answered 500: those that wait and those that come (PU-14)."""
    async with gateway_world(limits=DeliveryLimits(buffer_count=2)) as world:
        await world.send(text())
        world.provider.script[TOKEN] = [Deferred("throttled_device", 30)] * 20
        thread = {"ThreadId": "t"}
        replies: dict[int, Reply] = {}

        async def ask(number: int) -> None:
            replies[number] = await world.send(text(Id=number, **thread))

        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(ask, number)
                await trio.sleep(0.5)
        assert sorted(reply.code for reply in replies.values()) == [200, 200, 500, 500]
        assert await world.pending() == 2
        many = await world.ask(*[text(Id=f"m{number}", **thread) for number in range(4)])
        assert many == [FAILED, FAILED, QUEUED, QUEUED]
