"""tocsin.transports.webhook: connections that are kept, lost, slow or not to be had."""

import attrs
import pytest
import trio
import trio.testing
from tests.fakes.memory_connection import MemoryConnection, MemoryDialler
from tests.fakes.names import VirtualNames
from tests.fakes.receiver import (
    Answer,
    Received,
    drip,
    hang_up,
    ok,
    raw,
    reply,
    silence,
    start,
)
from tests.fakes.webhooks import (
    CLOCKS,
    HOOK,
    LOCAL,
    SLOWLY,
    UNANSWERED,
    channel,
    delivery_to,
    real_transport,
    transport_over,
)

from tocsin.model.outcome import Deferred, Delivered, Gone, Outcome, Refused, Sign, Word
from tocsin.transports.guard import AddressGuard
from tocsin.transports.patience import Patience
from tocsin.transports.pool import PoolStatistics
from tocsin.transports.webhook import WebhookTransport
from tocsin.wire.endpoint import Endpoint


async def test_a_connection_closed_while_idle_is_noticed(nursery: trio.Nursery) -> None:
    """PU-67: the far side closes after its answer; the next attempt uses a new connection."""
    receiver = await start(nursery, answers=[raw(b"HTTP/1.1 204 No Content\r\n\r\n", keep=False)])
    transport = real_transport()
    hook = delivery_to(channel(f"http://127.0.0.1:{receiver.port}/"))
    assert await transport.attempt(hook) == Delivered(204)
    await trio.testing.wait_all_tasks_blocked()
    assert await transport.attempt(hook) == Delivered(200)
    assert [request.connection for request in receiver.requests] == [1, 2]
    await transport.aclose()


async def test_a_reused_connection_that_dies_is_replaced_once(nursery: trio.Nursery) -> None:
    """PU-67: dead before the first byte, the same request goes once more, on a new connection."""
    dialler = MemoryDialler(nursery)
    transport = transport_over(dialler)
    dialler.receiver.answers.extend([ok, hang_up, ok])
    for _ in range(2):
        assert await transport.attempt(HOOK) == Delivered(200)
    assert [request.connection for request in dialler.receiver.requests] == [1, 1, 2]
    assert dialler.receiver.requests[1] == attrs.evolve(dialler.receiver.requests[2], connection=1)
    dialler.receiver.answers.extend([hang_up, hang_up])
    assert await transport.attempt(HOOK) == UNANSWERED
    assert len(dialler.receiver.requests) == 5


async def test_a_reused_connection_that_has_begun_to_answer_is_not(nursery: trio.Nursery) -> None:
    """PU-67: after the first byte the request has been taken, and is not repeated."""
    dialler = MemoryDialler(nursery)
    transport = transport_over(dialler)
    dialler.receiver.answers.extend([ok, raw(b"H", keep=False)])
    assert await transport.attempt(HOOK) == Delivered(200)
    assert await transport.attempt(HOOK) == UNANSWERED
    assert len(dialler.receiver.requests) == 2


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (silence, UNANSWERED),
        (drip(b"X", 1), Deferred("bad_answer")),
        (drip(b"HTTP/1.1 100 Continue\r\n\r\n", 1), UNANSWERED),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), Delivered(200)),
        (raw(b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\n"), Deferred("http_5xx", status=500)),
    ],
)
async def test_nobody_holds_on_longer_than_the_total_timeout(
    nursery: trio.Nursery,
    autojump_clock: trio.testing.MockClock,
    answer: Answer,
    outcome: Outcome,
) -> None:
    """PU-68, SE-12: silence, dripping heads and bodies end in time, with what is known then."""
    dialler = MemoryDialler(nursery)
    dialler.receiver.answers.append(answer)
    transport = transport_over(dialler)
    assert await transport.attempt(HOOK) == outcome
    assert trio.current_time() <= 15
    assert transport.statistics() == PoolStatistics(open=0, idle=0)
    assert dialler.made[0].closed


async def test_a_receiver_that_does_not_read(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """PU-68: not written is not unanswered: a stuck write is a timeout."""

    ours, _theirs = trio.testing.lockstep_stream_pair()

    class Deaf(MemoryDialler):
        async def __call__(self, _endpoint: Endpoint, _patience: Patience) -> MemoryConnection:
            await trio.lowlevel.checkpoint()
            return MemoryConnection(ours)

    assert await transport_over(Deaf(nursery)).attempt(HOOK) == Deferred("timeout")
    assert trio.current_time() == pytest.approx(15)


async def test_broken_while_it_is_written(nursery: trio.Nursery) -> None:
    """CH-83: a connection that breaks before the request was out is not unanswered."""

    class Cutting(MemoryDialler):
        async def __call__(self, _endpoint: Endpoint, _patience: Patience) -> MemoryConnection:
            ours, theirs = trio.testing.memory_stream_pair()
            await theirs.aclose()
            return MemoryConnection(ours)

    assert await transport_over(Cutting(nursery)).attempt(HOOK) == Deferred("broken")


async def test_connecting_has_a_timeout_of_its_own(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """PU-68: 5 s for name, connection and TLS, whatever the total is."""

    class Hanging(MemoryDialler):
        async def __call__(self, _endpoint: Endpoint, _patience: Patience) -> MemoryConnection:
            await trio.sleep_forever()
            raise AssertionError

    transport = transport_over(Hanging(nursery))
    assert await transport.attempt(HOOK) == Deferred("timeout")
    assert trio.current_time() == pytest.approx(5)
    assert transport.statistics() == PoolStatistics(open=0, idle=0)


async def test_no_thread_to_look_a_name_up_is_not_the_receivers_failure(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """Isolation, CH-83: who hangs has failed; who finds no thread because of that has not, and
    who waits for one a little is still served, however slowly it answers then."""
    names = VirtualNames(nursery)
    guard = AddressGuard(LOCAL, lookups=names.lookups(threads=2))
    names.takes["a.example"] = 9.0

    class Looking(MemoryDialler):
        async def __call__(self, endpoint: Endpoint, patience: Patience) -> MemoryConnection:
            await guard.addresses(endpoint.host, endpoint.port, patience)
            return await super().__call__(endpoint, patience)

    async def answer_late(stream: trio.abc.Stream, received: Received) -> bool:
        await trio.sleep(14)
        return await ok(stream, received)

    dialler = Looking(nursery)
    dialler.receiver.answers.append(answer_late)
    transport = WebhookTransport(LOCAL, guard=guard, **CLOCKS, connect=dialler)
    healthy = delivery_to(channel("https://b.example/hook"))
    nursery.start_soon(transport.attempt, HOOK)
    await trio.testing.wait_all_tasks_blocked()
    assert await transport.attempt(healthy) == Deferred("lookups", sign=Sign.NOTHING)
    assert trio.current_time() == pytest.approx(5)
    assert await transport.attempt(healthy) == Delivered(200)
    assert trio.current_time() == pytest.approx(23, abs=0.1)
    assert transport.statistics().open == 1


async def test_no_room_for_a_connection_is_not_the_receivers_failure(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """PU-67, isolation: with all sockets at receivers that hang."""
    dialler = MemoryDialler(nursery)
    dialler.receiver.answers.append(silence)
    settings = attrs.evolve(LOCAL, max_sockets=1)
    transport = transport_over(dialler, settings)
    nursery.start_soon(transport.attempt, HOOK)
    await trio.testing.wait_all_tasks_blocked()
    healthy = delivery_to(channel("https://b.example/hook"))
    assert await transport.attempt(healthy) == Deferred("sockets", sign=Sign.NOTHING)


async def test_cancelled_in_the_middle(nursery: trio.Nursery) -> None:
    """A cancelled attempt closes its connection, so that no later one reads its answer."""
    dialler = MemoryDialler(nursery)
    dialler.receiver.answers.append(silence)
    transport = transport_over(dialler)
    with trio.CancelScope() as scope:
        nursery.start_soon(cancel_when_blocked, scope)
        await transport.attempt(HOOK)
    assert scope.cancelled_caught
    assert dialler.made[0].closed
    assert transport.statistics() == PoolStatistics(open=0, idle=0)


async def cancel_when_blocked(scope: trio.CancelScope) -> None:
    await trio.testing.wait_all_tasks_blocked()
    scope.cancel()


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (reply(202, body=b"thanks"), Delivered(202)),
        (reply(302, "Location: https://a.example/hook"), Deferred("http_3xx", status=302)),
        (reply(404), Deferred("http_4xx", status=404)),
        (reply(410), Gone("http_410", 410)),
        (
            reply(429, "Retry-After: 7"),
            Deferred("http_429", 7, 429, sign=Sign.CONTACT, words=SLOWLY),
        ),
        (
            reply(503, "Retry-After: Tue, 14 Nov 2023 22:14:20 GMT"),
            Deferred("http_5xx", 60, 503, words=SLOWLY),
        ),
        (reply(200, "Webhook-Delivery: disable"), Delivered(200, frozenset({Word.SUSPEND}))),
        (reply(500, "Webhook-Delivery: abort-message"), Refused("receiver_abort", 500)),
        (reply(500, body=b"x" * 60_000), Deferred("http_5xx", status=500)),
    ],
)
async def test_whole_answers_keep_the_connection(
    nursery: trio.Nursery, answer: Answer, outcome: Outcome
) -> None:
    """CH-83, PU-69, PU-79: redirects are never followed, and no status costs the connection."""
    dialler = MemoryDialler(nursery)
    dialler.receiver.answers.append(answer)
    transport = transport_over(dialler)
    assert await transport.attempt(HOOK) == outcome
    assert len(dialler.receiver.requests) == 1
    assert transport.statistics() == PoolStatistics(open=1, idle=1)


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, "Connection: close"),
        reply(200, body=b"x" * 100_000),
        raw(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
        raw(b"HTTP/1.1 204 No\r\n\r\nHTTP/1.1 500 Surprise\r\n\r\n"),
    ],
)
async def test_answers_that_end_the_connection(nursery: trio.Nursery, answer: Answer) -> None:
    """PU-69: told to close, more body than is read, HTTP/1.0, more than was asked for."""
    dialler = MemoryDialler(nursery)
    dialler.receiver.answers.append(answer)
    transport = transport_over(dialler)
    assert isinstance(await transport.attempt(HOOK), Delivered)
    assert dialler.made[0].closed
