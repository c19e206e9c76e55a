"""Tests of the webhook transport: what one attempt comes to."""

import socket
import ssl
from collections.abc import Sequence

import attrs
import pytest
import trio
import trio.testing
import trustme
from structlog.testing import capture_logs
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
    reset_after,
    silence,
    start,
)
from tests.fakes.webhooks import (
    BODY,
    CLOCKS,
    HOOK,
    KEY,
    LOCAL,
    NOW,
    OTHER_KEY,
    OTHER_SECRET,
    SECRET,
    SLOWLY,
    THIRD_KEY,
    THIRD_SECRET,
    UNANSWERED,
    channel,
    delivery_to,
    real_transport,
    signature_of,
    transport_over,
)

from tocsin.model.channel import Webhook
from tocsin.model.outcome import Deferred, Delivered, Gone, Outcome, Refused, Sign, Word
from tocsin.ops.metrics import Metrics
from tocsin.transports.guard import AddressGuard
from tocsin.transports.lookups import Lookups, SocketAddress
from tocsin.transports.patience import Patience
from tocsin.transports.pool import PoolStatistics
from tocsin.transports.settings import HostSettings, WebhookSettings
from tocsin.transports.webhook import USER_AGENT, WebhookTransport
from tocsin.wire.endpoint import Endpoint


async def test_a_webhook_over_real_sockets(nursery: trio.Nursery) -> None:
    """CH-82, PU-67, PU-78: signed, authorized, byte for byte; the second over the same
    connection."""
    receiver = await start(nursery)
    transport = real_transport()
    hook = channel(
        f"http://127.0.0.1:{receiver.port}/hook?a=b", authorization="Bearer t", secret=SECRET
    )
    for _ in range(2):
        assert await transport.attempt(delivery_to(hook)) == Delivered(200)
    first, second = receiver.requests
    assert (first.method, first.target, first.body) == ("POST", "/hook?a=b", BODY)
    assert first.headers == {
        "host": f"127.0.0.1:{receiver.port}",
        "user-agent": USER_AGENT,
        "accept-encoding": "identity",
        "content-type": "application/json",
        "content-length": str(len(BODY)),
        "authorization": "Bearer t",
        "webhook-id": "n-1",
        "webhook-timestamp": "1700000000",
        "webhook-signature": signature_of(first, KEY),
    }
    assert (first.connection, second.connection) == (1, 1)
    assert transport.statistics() == PoolStatistics(open=1, idle=1)
    await transport.aclose()
    assert transport.statistics() == PoolStatistics(open=0, idle=0)


async def test_a_webhook_over_tls(nursery: trio.Nursery) -> None:
    """PU-72: to a resolved and checked address, verified by name, kept for the next one."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("a.example").configure_cert(context)
    receiver = await start(nursery, ssl_context=context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    transport = real_transport(ssl_context=trusting, a_example="127.0.0.1", b_example="127.0.0.1")
    good, bad = (f"https://{name}:{receiver.port}/" for name in ("a.example", "b.example"))
    for _ in range(2):
        assert await transport.attempt(delivery_to(channel(good))) == Delivered(200)
    assert receiver.connections == 1
    assert await transport.attempt(delivery_to(channel(bad))) == Deferred("tls")
    assert len(receiver.requests) == 2
    await transport.aclose()


async def test_a_name_that_changes_after_creation_gains_nothing(nursery: trio.Nursery) -> None:
    """CH-81, SE-4: judged public at creation, private at the connect: nothing is sent."""
    receiver = await start(nursery)
    answers = ["1.1.1.1", "127.0.0.1"]

    def rebinding(_host: str, port: int) -> Sequence[SocketAddress]:
        return [(socket.AF_INET, (answers.pop(0), port))]

    settings = WebhookSettings(allow_http=["a.example"])
    guard = AddressGuard(settings, lookups=Lookups(rebinding))
    transport = WebhookTransport(settings, guard=guard, **CLOCKS)
    url = f"http://a.example:{receiver.port}/"
    await guard.judge(url)
    outcome = await transport.attempt(delivery_to(channel(url)))
    assert outcome == Deferred("blocked_address")
    assert receiver.connections == 0


async def test_before_the_request_is_written(nursery: trio.Nursery) -> None:
    """CH-83: names, addresses and ports that lead nowhere are told apart."""
    transport = real_transport(a_example="127.0.0.1")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        for url, reason in [
            (f"https://unknown.example:{port}/", "dns"),
            (f"http://a.example:{port}/", "connect"),
            (f"https://10.0.0.1:{port}/", "blocked_address"),
        ]:
            assert await transport.attempt(delivery_to(channel(url))) == Deferred(reason)
    assert transport.statistics() == PoolStatistics(open=0, idle=0)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (reset_after(b""), UNANSWERED),
        (reset_after(b"HTTP/1.1 200 OK\r\nContent-"), UNANSWERED),
        (hang_up, UNANSWERED),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf", keep=False), Delivered(200)),
        (raw(b"HTTP/1.0 500 No\r\n\r\n", keep=False), Deferred("http_5xx", status=500)),
        (raw(b"220 mail.example ESMTP\r\n"), Deferred("bad_answer")),
        (raw(b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 20_000), Deferred("bad_answer")),
    ],
)
async def test_answers_over_real_sockets(
    nursery: trio.Nursery, answer: Answer, outcome: Outcome
) -> None:
    """CH-83: cuts before and after a whole head, and what is no HTTP; nothing is kept open."""
    receiver = await start(nursery, answers=[answer])
    transport = real_transport()
    hook = channel(f"http://127.0.0.1:{receiver.port}/")
    assert await transport.attempt(delivery_to(hook)) == outcome
    assert receiver.connections == 1
    assert transport.statistics() == PoolStatistics(open=0, idle=0)


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


@pytest.mark.parametrize("kept", [False, True])
async def test_what_expires_before_the_write_is_not_written(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, *, kept: bool
) -> None:
    """delivery.md (expiry): the deadline is looked at when the connection stands, a kept one too;
    that is no attempt, and costs no connection."""

    class Slow(MemoryDialler):
        async def __call__(self, endpoint: Endpoint, patience: Patience) -> MemoryConnection:
            await trio.sleep(2)
            return await super().__call__(endpoint, patience)

    dialler, clock = Slow(nursery), [-9 if kept else 0]
    clocks = {**CLOCKS, "clock": lambda: clock[0] + int(trio.current_time())}
    transport = WebhookTransport(LOCAL, guard=AddressGuard(LOCAL), connect=dialler, **clocks)
    if kept:
        assert await transport.attempt(HOOK) == Delivered(200)
        clock[0] = 0
    assert await transport.attempt(HOOK) == Deferred("expired", sign=Sign.NOTHING)
    assert len(dialler.receiver.requests) == kept
    assert transport.statistics() == PoolStatistics(open=1, idle=1)


async def test_a_forbidden_address_is_told_once_an_hour(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PU-72: counted each time; one event an hour per channel."""
    metrics = Metrics()
    clocks = {**CLOCKS, "metrics": metrics}
    transport = WebhookTransport(LOCAL, guard=AddressGuard(LOCAL), **clocks)
    hooks = [delivery_to(channel("https://10.0.0.1/")) for _ in range(2)]
    with capture_logs() as logs:
        for seconds in (0, 3599, 1):
            await trio.sleep(seconds)
            for hook in hooks:
                assert await transport.attempt(hook) == Deferred("blocked_address")
    told = [line["channel_id"] for line in logs if line["event"] == "webhook.blocked_address"]
    assert told == [hook.channel.id for hook in hooks] * 2
    assert metrics.registry.get_sample_value("tocsin_webhook_blocked_addresses_total") == 6


async def test_a_host_may_have_a_timeout_of_its_own(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """PU-68: 1 to 30 s, for one host; the others keep theirs."""
    settings = attrs.evolve(LOCAL, hosts={"a.example": HostSettings(total_timeout=3)})
    for name, seconds in [("a.example", 3), ("b.example", 15)]:
        dialler = MemoryDialler(nursery)
        dialler.receiver.answers.append(silence)
        before = trio.current_time()
        target = delivery_to(channel(f"https://{name}/"))
        assert await transport_over(dialler, settings).attempt(target) == UNANSWERED
        assert trio.current_time() - before == pytest.approx(seconds)


def test_a_host_may_have_a_width_of_its_own() -> None:
    """PU-67: all its origins; a host is spelled in one way."""
    hosts = {"a.example": HostSettings(lane_width=2), "::1": HostSettings(lane_width=256)}
    settings = WebhookSettings(lane_width=5, hosts=hosts)
    lanes = ("https://a.example:443", "http://a.example:8080", "https://b.example:443")
    assert [settings.width_of(lane) for lane in lanes] == [2, 2, 5]
    assert settings.width_of("https://[::1]:443") == 256
    for wrong, problem in [("A.example", "a.example"), ("a b", "not a host name")]:
        with pytest.raises(ValueError, match=problem):
            WebhookSettings(hosts={wrong: HostSettings()})


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


async def test_whose_secret_signs(nursery: trio.Nursery) -> None:
    """PU-76: the channel's, else the configured one, else id and timestamp go unsigned."""
    dialler = MemoryDialler(nursery)
    settings = attrs.evolve(LOCAL, signing_secret=OTHER_SECRET)
    plain, own = (channel("https://a.example/"), channel("https://a.example/", secret=SECRET))
    for transport in (transport_over(dialler), transport_over(dialler, settings)):
        for hook in (plain, own):
            await transport.attempt(delivery_to(hook))
    unsigned, *signed = dialler.receiver.requests
    assert "webhook-signature" not in unsigned.headers
    assert unsigned.headers["webhook-timestamp"] == "1700000000"
    for request, key in zip(signed, (KEY, OTHER_KEY, KEY), strict=True):
        assert request.headers["webhook-signature"] == signature_of(request, key)


async def test_two_secrets_sign_while_one_is_being_rotated(nursery: trio.Nursery) -> None:
    """PU-77: the new one's signature first; after the grace it signs alone."""
    clock = [NOW]
    dialler = MemoryDialler(nursery)
    settings = attrs.evolve(LOCAL, signing_secret=THIRD_SECRET)
    clocks = {**CLOCKS, "wall": lambda: clock[0]}
    transport = WebhookTransport(settings, guard=AddressGuard(settings), connect=dialler, **clocks)
    hook = channel("https://a.example/", secret=SECRET)
    assert hook.webhook is not None
    rotated = hook.webhook.rotated(OTHER_SECRET, until=NOW + 1)
    first_own = attrs.evolve(hook.webhook, secret=None).rotated(SECRET, until=NOW + 1)
    for now, webhook in [(NOW, rotated), (NOW + 1, rotated), (NOW, first_own)]:
        clock[0], hook.webhook = now, webhook
        await transport.attempt(delivery_to(hook))
    for request, keys in zip(
        dialler.receiver.requests,
        [(OTHER_KEY, KEY), (OTHER_KEY,), (KEY, THIRD_KEY)],
        strict=True,
    ):
        expected = " ".join(signature_of(request, key) for key in keys)
        assert request.headers["webhook-signature"] == expected


async def test_the_configured_secret_is_rotated_by_a_reload(nursery: trio.Nursery) -> None:
    """PU-77: both sign for the grace, the new one first; a channel's own secret signs alone. A
    reload that changes nothing of it, or takes it away, begins no grace."""
    clock = [NOW]
    dialler = MemoryDialler(nursery)
    settings = attrs.evolve(LOCAL, signing_secret=SECRET, rotation_grace=60)
    clocks = {**CLOCKS, "wall": lambda: clock[0]}
    transport = WebhookTransport(settings, guard=AddressGuard(settings), connect=dialler, **clocks)
    plain, own = (
        channel("https://a.example/"),
        channel("https://b.example/", secret=THIRD_SECRET),
    )
    rotated = attrs.evolve(settings, signing_secret=OTHER_SECRET)
    for at, wanted, hook in (
        (NOW, settings, plain),
        (NOW, rotated, plain),
        (NOW, rotated, own),
        (NOW + 59_999, rotated, plain),
        (NOW + 60_000, rotated, plain),
        (NOW + 60_001, attrs.evolve(settings, signing_secret=None), plain),
    ):
        clock[0] = at
        transport.reconfigure(wanted)
        await transport.attempt(delivery_to(hook))
    for request, keys in zip(
        dialler.receiver.requests,
        [(KEY,), (OTHER_KEY, KEY), (THIRD_KEY,), (OTHER_KEY, KEY), (OTHER_KEY,), ()],
        strict=True,
    ):
        expected = " ".join(signature_of(request, key) for key in keys)
        assert request.headers.get("webhook-signature", "") == expected


async def test_a_changed_channel_is_read_again(nursery: trio.Nursery) -> None:
    """CH-80: what was prepared for a channel is only used while its webhook is the same."""
    dialler = MemoryDialler(nursery)
    transport = transport_over(dialler)
    hook = channel("https://a.example/one")
    await transport.attempt(delivery_to(hook))
    hook.webhook = Webhook("https://a.example/two", "origin", authorization="new")
    await transport.attempt(delivery_to(hook))
    assert [request.target for request in dialler.receiver.requests] == ["/one", "/two"]
    assert dialler.receiver.requests[1].headers["authorization"] == "new"


@pytest.mark.parametrize(
    "webhook",
    [
        None,
        Webhook("http://no-longer-allowed.example/", "origin"),
        Webhook("https://a.example/", "origin", authorization="a\r\nb"),
        Webhook("https://a.example/", "origin", secret="whsec_short"),
    ],
)
async def test_a_channel_that_has_become_unusable(
    nursery: trio.Nursery, webhook: Webhook | None
) -> None:
    """CH-83: a reload may forbid what a channel has; its deliveries wait for better times."""
    dialler = MemoryDialler(nursery)
    hook = channel("https://a.example/")
    hook.webhook = webhook
    assert await transport_over(dialler).attempt(delivery_to(hook)) == Deferred(
        "bad_channel", sign=Sign.NOTHING
    )
    assert not dialler.made


def test_the_settings_know_their_bounds() -> None:
    """OP-6: impossible values are refused in words; secrets are not shown."""
    for bad, problem in [
        ({"total_timeout": 31}, "at most 30"),
        ({"lane_width": 257}, "at most 256"),
        ({"allow_networks": ["10.0.0.0/99"]}, "not a network"),
        ({"allow_http": ["a/b"]}, "not a host"),
        ({"signing_secret": "hunter2"}, "must be whsec_"),
    ]:
        with pytest.raises(ValueError, match=problem):
            WebhookSettings(**bad)  # type: ignore[arg-type]
    assert SECRET not in repr(WebhookSettings(signing_secret=SECRET))
