"""What is logged and counted of requests: refusals yes, secrets never."""

from pathlib import Path
from typing import Any

import pytest
import structlog
from tests.fakes import client_frames
from tests.fakes.daemon import CHANNELS, CHAT, PUBLISH, chat, daemon, token
from tests.fakes.notification_socket import UPGRADE, connected, handshake

from tocsin.model.principal import Principal
from tocsin.ops.log import configure
from tocsin.ops.metrics import METHODS, STATUSES, Metrics
from tocsin.server.gateway import tokenless
from tocsin.server.requestlog import RequestLog
from tocsin.wire.request import Request, split_path

PRINCIPAL = Principal("u", frozenset({"publish"}), "p", "s", "t", 2e9)


def request(target: str = "/x", method: str = "GET", *, known: bool = False) -> Request:
    principal = PRINCIPAL if known else None
    return Request(method, target, split_path(target), {}, principal=principal, request_id="r-1")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def requests(metrics: Metrics) -> RequestLog:
    return RequestLog(metrics)


def value(series: Any) -> float:
    count: float = series._value.get()
    return count


def test_an_answer_is_counted_and_not_logged(requests: RequestLog, metrics: Metrics) -> None:
    """A request that was served leaves a count and no line (OP-17)."""
    with structlog.testing.capture_logs() as lines:
        requests.answered(request(), 200, "ok", 0.01)
    assert lines == []
    assert value(metrics.http_requests["GET", 200]) == 1


def test_a_refusal_is_counted_and_logged(requests: RequestLog, metrics: Metrics) -> None:
    """One line with what was asked and why it was refused, the token masked (CH-10, CH-121)."""
    with structlog.testing.capture_logs() as lines:
        requests.answered(request("/a?access_token=planted&b=1"), 401, "token_invalid", 0.01)
    assert lines == [
        {
            "event": "request.refused",
            "log_level": "info",
            "status": 401,
            "reason": "token_invalid",
            "method": "GET",
            "target": "/a?access_token=***&b=1",
            "request_id": "r-1",
            "peer": "",
        }
    ]
    assert value(metrics.auth_failures["token_invalid"]) == 1


@pytest.mark.parametrize("status", [*STATUSES, 499, 599])
@pytest.mark.parametrize("method", [*METHODS, "-", "BREW", "x" * 100])
def test_labels_are_closed(
    requests: RequestLog, metrics: Metrics, method: str, status: int
) -> None:
    """Whatever clients make up as a method, no series is added (OP-15)."""
    series = len(metrics.http_requests)
    requests.answered(request(method=method), status, "ok", 0.01)
    key = (method if method in METHODS else "other", status if status in STATUSES else "other")
    assert value(metrics.http_requests[key]) == 1
    assert len(metrics.http_requests) == series


@pytest.mark.parametrize(
    ("asked", "by"),
    [
        (request(PUBLISH, "POST", known=True), "producer"),
        (request(CHANNELS, "POST", known=True), "token"),
        (request(CHANNELS), "address"),
        (Request("POST", "/pnm2/send", (), {}, principal=tokenless("192.0.2.1")), "address"),
        (None, "address"),
    ],
)
def test_rates(requests: RequestLog, metrics: Metrics, asked: Request | None, by: str) -> None:
    """A 429 is counted by what it was counted against (OP-15, section 15)."""
    requests.answered(asked, 429, "rate_limited", 0.01)
    assert {name: value(one) for name, one in metrics.rate_limited.items() if value(one)} == {by: 1}


@pytest.mark.parametrize("label", ["backlog", "store", "drain", "memory"])
def test_only_publishing_rejects_notifications(
    requests: RequestLog, metrics: Metrics, label: str
) -> None:
    """A 503 is a rejected notification on the publish path only, not on a handshake (OP-15)."""
    rejected = metrics.notifications_rejected[label]
    requests.answered(request(f"{CHANNELS}/ws-1/websocket"), 503, label, 0.01)
    requests.answered(None, 503, label, 0.01)
    assert value(rejected) == 0
    requests.answered(request(PUBLISH, "POST"), 503, label, 0.01)
    assert value(rejected) == 1


def test_a_crash_is_logged(requests: RequestLog) -> None:
    """A bug of ours is an error with its traceback and the request's id."""
    with structlog.testing.capture_logs() as lines:
        requests.crashed(request("/a?access_token=planted"), ValueError("x"))
        requests.crashed(None, ValueError("y"))
    assert [line["event"] for line in lines] == ["request.crashed"] * 2
    assert lines[0]["request_id"] == "r-1"
    assert "planted" not in repr(lines)


@pytest.fixture
def json_log() -> Any:
    """The log as in production, at its most talkative."""
    configure("debug", "json")
    yield
    structlog.reset_defaults()


async def test_nothing_secret_is_logged(
    tmp_path: Path, json_log: None, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Planted tokens, authorizations, secrets and message texts appear in no line, whichever way
    they came and whatever became of the request (CH-10, CH-31, OP-17, SE-7)."""
    configure("debug", "json")
    secret = f"whsec_{'Planted1' * 4}"
    hook = {"x-authorization": "Bearer planted-2", "x-webhookSecret": secret}
    good, other, old = token(), token("bob"), token(expires_in=-60)
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        await running.open_webhook(**hook)
        await running.subscribe(channel, clientCorrelator="c", callbackData="planted-3")
        await running.publish("a", text="planted-4")
        await running.post(PUBLISH, chat("b", text="planted-4", order_key=""), scope="publish")
        await running.post(CHANNELS, {"notificationChannel": {"channelData": hook}})
        for bearer in (other, old, f"{good}x", "planted-5", "planted 5"):
            await running.get(CHANNELS, bearer=bearer)
            await running.get(f"{CHAT}?access_token={bearer.replace(' ', '+')}", bearer=None)
        await running.get(CHANNELS, bearer=None, headers=[("Authorization", "Basic planted-6")])
        for query in (
            *(f"?access_token={good}x", f"?a=1&access_token={old}", "?access_token=planted-7"),
            *(f"?access%5Ftoken={good}", f"?%61ccess_token={old}", f"?ACCESS_TOKEN={good}"),
        ):
            await handshake(running, "ws-x", query=query, bearer=None, headers=UPGRADE)
        async with connected(running, channel) as client:
            await client.send(client_frames.text(b'{"planted-8":1}'))
            assert await client.is_alive()
    lines = capfdbinary.readouterr().out
    assert lines.count(b"request.refused") >= 15
    signatures = [one.rpartition(".")[2].encode() for one in (good, other, old)]
    assert not [one for one in [b"lanted", *signatures] if one in lines]


async def test_a_path_that_leads_nowhere_is_not_logged(tmp_path: Path) -> None:
    """SE-7: what somebody has pasted into a path stays out of the log, whatever is wrong there."""
    async with daemon(tmp_path) as running:
        with structlog.testing.capture_logs() as lines:
            for method, target in (
                ("GET", "/planted/v1/notifications"),
                ("GET", f"{CHANNELS}/planted/planted/channels?x=1"),
                ("GET", "/nowhere?planted&x=planted"),
                ("GET", "/cpaas/%ffplanted"),
                ("PUT", f"{CHANNELS}/planted/websocket"),
                ("GET", "/messaging/planted"),
                ("GET", "/v1/messaging/planted/history"),
                ("PUT", "/v1/messaging/subscribers/planted"),
            ):
                await running.ask(method, target)
    targets = [line["target"] for line in lines if line["event"] == "request.refused"]
    assert targets == [
        "/***/v1/notifications",
        "/cpaas/notificationchannel/v1/***/channels/***/channels?x=***",
        "/***?***&x=***",
        "/***",
        "/cpaas/notificationchannel/v1/***/channels/***/websocket",
        "/messaging/***",
        "/v1/messaging/***/history",
        "/v1/messaging/subscribers/***",
    ]


async def test_refused_over_the_wire(tmp_path: Path) -> None:
    """Every refusal is a count by method and status, and by what was wrong with the token
    (CH-121)."""
    async with daemon(tmp_path) as running:
        await running.get(CHANNELS, bearer=None)
        await running.get("/nowhere")
        await running.post(CHANNELS, {})
        for series, count in {
            'http_requests_total{method="GET",status="401"}': 1,
            'http_requests_total{method="GET",status="404"}': 1,
            'http_requests_total{method="POST",status="400"}': 1,
            'auth_failures_total{reason="token_missing"}': 1,
        }.items():
            assert await running.metric(f"tocsin_{series}") == count, series
