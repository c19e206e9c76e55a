"""tocsin.delivery.gateway: what was asked for before."""

from pathlib import Path

import pytest
import trio
import trio.testing
from tests.fakes.fault import Fault
from tests.fakes.gatewayapps import APP, OTHER_TOKEN, TOKEN, text
from tests.fakes.gatewayworld import (
    GONE_MANY,
    GONE_ONE,
    UNREGISTERED,
    GatewayWorld,
    gateway_world,
)

from tocsin.model.errors import StoreError
from tocsin.model.outcome import Delivered, Outcome, Refused
from tocsin.store.records import Acceptance
from tocsin.store.sqlite import OnError, SqliteStore, StoreSettings
from tocsin.wire.push.pnm2 import (
    FAILED,
    NOT_AN_OBJECT,
    QUEUED,
    SENT,
    Endpoint,
    Reply,
)

# -- repeats -----------------------------------------------------------------------------------


async def test_repeats(autojump_clock: trio.testing.MockClock) -> None:
    """The same Id again sends nothing and is answered what became of the first; another token,
    account, app or verb is another push (PU-18, PU-19)."""
    async with gateway_world() as world:
        one = text(Id="m", Selector="s")
        assert await world.ask(one, one, text(TOKEN.upper(), Id="m", Selector="s")) == [SENT] * 3
        assert await world.send(one) == SENT
        assert len(world.provider.attempts) == 1
        different = [
            text(OTHER_TOKEN, Id="m", Selector="s"),
            text(Id="m", Selector="other"),
            text(Id="m", Selector="s", AppId="durable.app"),
            text(Id="m", Selector="s", verb="NotifyTextMessage"),
            text(Id="n", Selector="s"),
            text(Selector="s"),
            text(Selector="s"),
        ]
        await world.ask(*different)
        await trio.sleep(1)
        assert len(world.provider.attempts) == 8


async def test_a_repeat_waits_like_the_first(autojump_clock: trio.testing.MockClock) -> None:
    """While the first is pending, each waits until its own deadline (PU-19)."""
    async with gateway_world() as world:
        world.provider.script[TOKEN] = [5.0]
        answers: dict[str, tuple[Reply, float]] = {}

        async def ask(name: str) -> None:
            answers[name] = (await world.send(text(Id="m")), trio.current_time())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, "first")
            await trio.sleep(2)
            nursery.start_soon(ask, "second")
        assert answers["first"] == (QUEUED, pytest.approx(4))
        assert answers["second"] == (SENT, pytest.approx(5, abs=0.2))
        assert len(world.provider.attempts) == 1
        assert world.late == []


async def test_a_repeat_of_one_that_failed_is_sent(autojump_clock: trio.testing.MockClock) -> None:
    """Refused, expired or answered 500 is not remembered, so a 500 may be retried; gone is
    (PU-15, PU-19)."""
    async with gateway_world() as world:
        await world.prove(APP)
        world.provider.script[TOKEN] = [Refused("bad_request", 400)]
        assert [await world.send(text(Id="m")) for _ in range(2)] == [FAILED, SENT]
        world.provider.script[OTHER_TOKEN] = [UNREGISTERED]
        gone = text(OTHER_TOKEN, Id="m")
        assert [await world.send(gone) for _ in range(2)] == [GONE_ONE] * 2


async def test_the_same_id_twice_at_once(autojump_clock: trio.testing.MockClock) -> None:
    """Whoever comes first, one is sent, and both are told so (PU-18)."""
    async with gateway_world() as world:
        world.provider.script[TOKEN] = [0.5]
        answers: list[Reply] = []

        async def ask() -> None:
            answers.append(await world.send(text(Id="m")))

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(ask)
        assert answers == [SENT] * 10
        assert len(world.provider.attempts) == 1
        assert world.sample("channels", type="OMAPush") == 1


# -- Idempotency-Key ---------------------------------------------------------------------------


async def ask_once(world: GatewayWorld, *elements: object) -> tuple[list[Reply], bytes | None]:
    """What is answered under the key "k", and what was answered before."""
    async with world.submissions.claim("caller", "/pnm2/multisend", "k", b"body") as submission:
        if submission.remembered is not None:
            return [], submission.remembered.body
        return await world.ask(*elements, submission=submission), None


@pytest.mark.parametrize(
    ("act", "reply"),
    [
        (Delivered(200), SENT),
        (Refused("bad_request", 400), FAILED),
        (9.0, QUEUED),
        (UNREGISTERED, GONE_MANY),
    ],
)
async def test_answers_are_remembered(
    autojump_clock: trio.testing.MockClock, act: Outcome | float, reply: Reply
) -> None:
    """As they were given, whatever they are; so is a 500 with any other reply beside it (PU-19,
    CH-114)."""
    async with gateway_world() as world:
        await world.prove(APP)
        world.provider.script[TOKEN] = [act]
        replies, _ = await ask_once(world, text(), None)
        assert replies == [reply, NOT_AN_OBJECT]
        attempts = len(world.provider.attempts)
        assert await ask_once(world, text()) == ([], Endpoint.MULTISEND.render(replies))
        assert len(world.provider.attempts) == attempts


async def test_an_answer_of_mistakes_is_remembered(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Nothing is pushed, the answer stands all the same (CH-114)."""
    async with gateway_world() as world:
        assert await ask_once(world, None) == ([NOT_AN_OBJECT], None)
        assert await ask_once(world) == ([], Endpoint.MULTISEND.render([NOT_AN_OBJECT]))


async def test_a_failure_is_not_remembered(autojump_clock: trio.testing.MockClock) -> None:
    """The same key pushes again, and what that comes to is remembered (PU-15, PU-19)."""
    async with gateway_world() as world:
        world.provider.script[TOKEN] = [Refused("bad_request", 400)] * 2
        for answer in ([FAILED], [FAILED], [SENT]):
            assert await ask_once(world, text()) == (answer, None)
        assert await ask_once(world, text()) == ([], Endpoint.MULTISEND.render([SENT]))
        assert len(world.provider.attempts) == 3


async def test_a_list_of_failures_and_repeats_is_not_remembered(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A repeat is known by its Id and sends nothing the next time either; one whose first push
    fails while it waits is a failure like any other (PU-15, PU-19)."""
    async with gateway_world() as world:
        await world.send(text(OTHER_TOKEN, Id="known"))
        refused = Refused("bad_request", 400)
        world.provider.script[TOKEN] = [refused, refused]
        elements = [text(Id="new"), text(Id="new"), text(OTHER_TOKEN, Id="known")]
        for answer in ([FAILED, FAILED, SENT], [FAILED, FAILED, SENT], [SENT, SENT, SENT]):
            assert await ask_once(world, *elements) == (answer, None)
        assert await ask_once(world, *elements) == ([], Endpoint.MULTISEND.render([SENT] * 3))
        assert len(world.provider.attempts) == 4


async def test_repeats_alone_are_remembered(autojump_clock: trio.testing.MockClock) -> None:
    """Nothing failed: the key has its answer for as long as any other (CH-114)."""
    async with gateway_world() as world:
        await world.send(text(Id="known"))
        assert await ask_once(world, text(Id="known")) == ([SENT], None)
        assert await ask_once(world) == ([], Endpoint.MULTISEND.render([SENT]))


async def test_a_failure_that_cannot_be_forgotten(tmp_path: Path) -> None:
    """It is answered all the same; a repeat is told what stood first (CH-114)."""
    path = str(tmp_path / "store.db")
    async with gateway_world(store=SqliteStore(StoreSettings(path=path))) as world:
        world.provider.script[TOKEN] = [Refused("bad_request", 400)]
        fault = Fault(path)
        fault.begin("submission")
        assert await ask_once(world, text()) == ([FAILED], None)
        fault.end()
        fault.close()
        assert await ask_once(world, text()) == ([], Endpoint.MULTISEND.render([QUEUED]))


async def test_an_answer_that_was_never_given(autojump_clock: trio.testing.MockClock) -> None:
    """Whoever comes back after a crash in between is told that it is queued, and nothing is
    pushed twice (PU-15, CH-114)."""
    async with gateway_world() as world:
        world.provider.script[TOKEN] = [2.0]
        with trio.move_on_after(1):
            await ask_once(world, text())
        assert await ask_once(world, text()) == ([], Endpoint.MULTISEND.render([QUEUED]))
        await trio.sleep(5)
        assert len(world.provider.attempts) == 1


async def test_a_final_answer_that_cannot_be_stored(tmp_path: Path) -> None:
    """It is given all the same; a repeat is told that it is queued (CH-114)."""
    path = str(tmp_path / "store.db")
    async with gateway_world(store=SqliteStore(StoreSettings(path=path))) as world:
        accept = world.store.accept

        async def fails_without_pushes(acceptance: Acceptance, on_done: OnError) -> None:
            if acceptance.notifications:
                await accept(acceptance, on_done)
            else:
                raise StoreError("the disk is on fire")

        world.store.accept = fails_without_pushes  # type: ignore[method-assign]
        assert await ask_once(world, text()) == ([SENT], None)
        assert await ask_once(world, text()) == ([], Endpoint.MULTISEND.render([QUEUED]))
