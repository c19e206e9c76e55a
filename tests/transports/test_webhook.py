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
from tests.fakes.receiver import (
    Answer,
    hang_up,
    raw,
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
    SECRET,
    UNANSWERED,
    channel,
    delivery_to,
    real_transport,
    signature_of,
    transport_over,
)

from tocsin.model.outcome import Deferred, Delivered, Outcome, Sign
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


def test_the_settings_know_their_bounds() -> None:
    """OP-6: impossible values are refused in words; secrets are not shown."""
    for bad, problem in [
        ({"total_timeout": 31}, "at most 30"),
        ({"lane_width": 257}, "at most 256"),
        ({"allow_networks": ["10.0.0.0/99"]}, "not a network"),
        ({"allow_http": ["a/b"]}, "the host alone"),
        ({"signing_secret": "hunter2"}, "must be whsec_"),
    ]:
        with pytest.raises(ValueError, match=problem):
            WebhookSettings(**bad)  # type: ignore[arg-type]
    assert SECRET not in repr(WebhookSettings(signing_secret=SECRET))
