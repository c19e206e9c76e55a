"""The admin listener: liveness, readiness, metrics."""

from pathlib import Path

import apsw
import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families
from tests.fakes.daemon import CHANNELS, PUBLISH, Daemon, chat, daemon, dial, read_answer
from tests.fakes.notification_socket import connected

from tocsin import __version__
from tocsin.model.channel import ChannelType
from tocsin.ops.metrics import Metrics
from tocsin.server.admin import AdminFace
from tocsin.server.router import Router
from tocsin.wire.request import Request

FAMILIES = frozenset(
    """
build_info channels subscriptions ws_connections ws_closed ws_queue_bytes ws_slow_consumers
ws_resumes notifications_accepted notifications_rejected deliveries delivery_attempts
delivery_latency_seconds attempt_duration_seconds queue_depth queue_oldest_age_seconds
dead_letters lanes_blocked task_last_progress_timestamp_seconds task_restarts loop_lag_seconds
store_commit_seconds store_commit_batch_size config_last_reload_success_timestamp_seconds
    """.split()  # noqa: SIM905
)


async def test_livez(tmp_path: Path) -> None:
    """It answers as long as the loop turns, with the version (OP-11)."""
    async with daemon(tmp_path) as running:
        answer = await running.admin("/livez")
        assert (answer.status, answer.json) == (200, {"status": "alive", "version": __version__})
        assert answer.headers["content-type"] == "application/json"


async def test_readyz(tmp_path: Path) -> None:
    """Green once it serves, with every supervised service listed (OP-10, OP-11)."""
    async with daemon(tmp_path) as running:
        answer = await running.admin("/readyz")
        assert answer.status == 200
        assert (answer.json["status"], answer.json["failing"]) == ("ready", {})
        assert {"reactor", "queue", "settler", "housekeeping"} <= set(answer.json["services"])
        assert await running.metric("tocsin_ready") == 1


async def test_readyz_while_draining(tmp_path: Path) -> None:
    """Red from the moment of the stop, while sockets are being closed (OP-11, OP-12)."""
    async with daemon(tmp_path, drain={"window": 5}) as running:
        channels = [await running.open_channel() for _ in range(2)]
        async with connected(running, channels[0]), connected(running, channels[1]):
            running.app.stop()
            answer = await running.admin("/readyz")
            assert answer.status == 503
            assert answer.json["failing"] == {"daemon": "draining"}
            assert (await running.admin("/livez")).status == 200
            assert await running.metric("tocsin_ready") == 0


async def test_readyz_while_the_store_fails(tmp_path: Path) -> None:
    """Red with the store named while commits fail; publishing is 503 and stores nothing, and all
    is well again when the store is (OP-11, CH-121)."""
    async with daemon(tmp_path) as running:
        await running.subscribe(await running.open_channel())
        before = await running.stored()
        await break_store(running, broken=True)
        for path, body, scope in (
            (PUBLISH, chat("a"), "publish"),
            (
                CHANNELS,
                {"notificationChannel": {"channelType": "websockets", "clientCorrelator": "c"}},
                "channels",
            ),
        ):
            answer = await running.post(path, body, scope=scope)
            assert answer.refusal == (503, "SVC1000", [])
            assert int(answer.headers["retry-after"]) > 0
        answer = await running.admin("/readyz")
        assert answer.status == 503
        assert set(answer.json["failing"]) == {"store"}
        await break_store(running, broken=False)
        assert await running.stored() == before
        assert [one["status"] for one in await running.publish("a")] == ["accepted"]
        assert (await running.admin("/readyz")).status == 200


async def break_store(running: Daemon, *, broken: bool) -> None:
    """Have every INSERT refused by the database, or again taken."""

    def judge(operation: int, *_details: object) -> int:
        return apsw.SQLITE_DENY if operation == apsw.SQLITE_INSERT else apsw.SQLITE_OK

    def change(connection: apsw.Connection) -> None:
        connection.authorizer = judge if broken else None

    await running.app.store._perform(change, durable=False)


async def test_metrics(tmp_path: Path) -> None:
    """The exposition parses, has every family of this release with all its series from the start,
    and says so in its type (OP-15)."""
    async with daemon(tmp_path) as running:
        answer = await running.admin("/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        families = {
            family.name.removeprefix("tocsin_"): family
            for family in text_string_to_metric_families(answer.body.decode())
        }
        assert set(families) >= FAMILIES
        for name in ("channels", "queue_depth", "deliveries", "delivery_attempts"):
            types = {sample.labels["type"] for sample in families[name].samples}
            assert types >= {kind.value for kind in ChannelType}
        assert all(family.samples for family in families.values())


async def test_what_is_counted(tmp_path: Path) -> None:
    """Gauges follow what there is, counters what happened (OP-15)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        await running.open_webhook()
        await running.subscribe(channel)
        await running.publish("a", "b")
        await running.post(PUBLISH, [{"user": "x"}], scope="publish")
        for series, value in {
            'channels{type="websockets"}': 1,
            'channels{type="Webhooks"}': 1,
            'subscriptions{service="chat"}': 1,
            'queue_depth{type="websockets"}': 2,
            'notifications_accepted_total{service="chat"}': 2,
            'notifications_rejected_total{reason="invalid_value"}': 1,
            "ws_connections": 0,
        }.items():
            assert await running.metric(f"tocsin_{series}") == value, series
        async with connected(running, channel) as client:
            assert await client.ids(2) == ["a", "b"]
            assert await running.metric("tocsin_ws_connections") == 1
            await client.settle()
            assert await client.is_alive()
            await running.app.store.barrier()
        await running.delete(channel["resourceURL"])
        for series in ('channels{type="websockets"}', 'subscriptions{service="chat"}'):
            assert await running.metric(f"tocsin_{series}") == 0
    async with daemon(tmp_path) as running:
        assert await running.metric('tocsin_channels{type="Webhooks"}') == 1


@pytest.mark.parametrize("path", ["/metrics", "/livez", "/readyz"])
async def test_not_on_the_public_listener(tmp_path: Path, path: str) -> None:
    """Operators' paths are unknown there, and the admin listener knows nothing else (OP-8)."""
    async with daemon(tmp_path) as running:
        assert (await running.get(path)).refusal == (404, "SVC0001", ["unknown_path"])
        assert (await running.admin(CHANNELS)).refusal == (404, "SVC0001", ["unknown_path"])
        answer = await running.admin(path, method="POST")
        assert answer.refusal == (405, "SVC0001", ["method"])
        assert "access-control-allow-origin" not in (await running.admin(path)).headers


async def test_garbage_on_the_admin_listener(tmp_path: Path) -> None:
    """Bytes that are no HTTP are 400, and the next request is answered (SE-6)."""
    async with daemon(tmp_path) as running:
        async with await dial(running.app.admin_addresses[0]) as stream:
            await stream.send_all(b"\x16\x03\x01\x02\r\n\r\n")
            assert (await read_answer(stream))[0].status == 400
        assert (await running.admin("/livez")).status == 200


async def test_starting() -> None:
    """Before the daemon is ready the failing part is named (OP-11)."""
    router = Router()
    face = AdminFace(
        Metrics(),
        failing=lambda: {"daemon": "starting"},
        status=lambda: {"queue": "running"},
        version="1",
    )
    face.add_routes(router)
    assert {route.pattern for route in router.routes()} == {"/metrics", "/livez", "/readyz"}
    answer = await face.readyz(Request("GET", "/readyz", ("readyz",), {}))
    await trio.lowlevel.checkpoint()
    assert answer.status == 503
    assert b'"failing":{"daemon":"starting"}' in answer.body
