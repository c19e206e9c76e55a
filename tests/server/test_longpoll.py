"""Long polling over the wire: requests, answers and their ends (channels.md, section 7)."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import trio
from tests.fakes.daemon import (
    CHANNELS,
    Answer,
    Daemon,
    Header,
    daemon,
    dial,
    read_answer,
    request_bytes,
    token,
)
from tests.fakes.notification_socket import connected
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.wire.longpoll import POSITION

UNKNOWN = "lp-00000000-0000-4000-8000-000000000000"


@pytest.fixture
def leaping_clock() -> MockClock:
    """Runs like any clock, and leaps when told to."""
    return MockClock(rate=1.0)


async def opened(running: Daemon, **members: Any) -> dict[str, Any]:
    """A subscribed LongPolling channel of Alice's."""
    channel = await running.open_channel(channelType="LongPolling", **members)
    await running.subscribe(channel)
    return channel


def url(channel: dict[str, Any], query: str = "") -> str:
    made: str = channel["channelData"]["channelURL"]
    return made + query


def ids(answer: Answer) -> list[str]:
    assert answer.status == 200, answer
    found = answer.json["notificationList"]
    return [one["chatMessageNotification"]["id"] for one in found]


def position(answer: Answer) -> str:
    return answer.headers[POSITION.lower()]


def poll_bytes(channel: dict[str, Any], *, headers: Iterable[Header] = ()) -> bytes:
    auth = ("Authorization", f"Bearer {token()}")
    return request_bytes("POST", url(channel), headers=[auth, *headers])


async def held(running: Daemon, channel: dict[str, Any]) -> trio.SocketStream:
    """A connection on which a poll is held."""
    stream = await dial(running.public)
    await stream.send_all(poll_bytes(channel))
    await until_connected(running, channel)
    return stream


async def until_connected(running: Daemon, channel: dict[str, Any]) -> None:
    """The poll has come as far as it can."""
    with trio.fail_after(30):
        while not running.app._parts.sessions.all():
            await wait_all_tasks_blocked()
    await running.get(channel["resourceURL"])
    await wait_all_tasks_blocked()


async def test_a_poll(tmp_path: Path) -> None:
    """The texts of the socket's frames in one list, with the position behind them; a body is
    ignored; the next poll settles (CH-65, CH-67, CH-100)."""
    body = {"longPollingRequestParameters": {"pollingTimeout": 5}}
    async with daemon(tmp_path, longpoll={"hold": 0}) as running:
        channel = await opened(running, channelData={"maxNotifications": "2"})
        await running.publish("a", "b", "c")
        first = await running.post(url(channel), body)
        assert ids(first) == ["a", "b"]
        assert first.body.startswith(b'{"notificationList":[{"chatMessageNotification":{')
        assert first.headers["content-type"] == "application/json"
        assert "X-Channel-Position" in first.headers["access-control-expose-headers"]
        epoch, _, seq = position(first).partition(":")
        assert seq == "2"
        assert ids(await running.get(url(channel))) == ["c"]
        last = await running.post(url(channel), None)
        assert (last.status, last.body) == (200, b'{"notificationList":[]}')
        assert position(last) == f"{epoch}:3"
        assert [sum(counts.values()) for counts in await running.stored()] == [1, 1, 0, 0]


async def test_refused(tmp_path: Path) -> None:
    """Token, channel, body and position, in this order; no trace is left (CH-13, CH-50, CH-67,
    CH-68, CH-121)."""
    async with daemon(tmp_path, longpoll={"hold": 0}) as running:
        channel = await opened(running)
        socket = await running.open_channel()
        epoch = position(await running.get(url(channel))).partition(":")[0]
        await running.publish("a")
        for query in ("", "x", "a:", f"{epoch}:-1", f"{epoch}:1", f"{epoch}:99", "cafe:0"):
            answer = await running.get(url(channel, f"?since={query}"))
            assert answer.refusal == (400, "SVC0002", ["since"]), query
        for body in (b"{", b"[]", b"1", b"null"):
            answer = await running.post(url(channel), body)
            assert answer.refusal == (400, "SVC0002", ["body"])
        for id_ in (socket["callbackURL"], UNKNOWN, "x"):
            for method in ("GET", "POST"):
                answer = await running.ask(method, f"{CHANNELS}/{id_}/notifications")
                assert answer.refusal == (404, "SVC0004", ["channelId"])
        assert (await running.get(url(channel), bearer=None)).status == 401
        assert (await running.get(url(channel), bearer=token("bob"))).status == 403
        assert (await running.get(url(channel), scope="publish")).status == 403
        assert (await running.delete(url(channel))).headers["allow"] == "GET, POST"
        assert ids(await running.get(url(channel, "?since=0:0"))) == ["a"]


async def test_held_until_there_is_something(tmp_path: Path, leaping_clock: MockClock) -> None:
    """Answered at the publish, else with the empty list after 30 s (CH-65)."""
    async with daemon(tmp_path) as running:
        channel = await opened(running)
        async with await held(running, channel) as stream:
            await running.publish("a")
            assert ids((await read_answer(stream))[0]) == ["a"]
        async with await held(running, channel) as stream:
            leaping_clock.jump(31)
            assert ids((await read_answer(stream))[0]) == []


async def test_a_newer_poll(tmp_path: Path) -> None:
    """The held one is answered with the empty list (CH-66)."""
    async with daemon(tmp_path) as running:
        channel = await opened(running)
        async with await held(running, channel) as older, await held(running, channel) as newer:
            assert ids((await read_answer(older))[0]) == []
            await running.publish("a")
            assert ids((await read_answer(newer))[0]) == ["a"]


async def test_deleted_while_held(tmp_path: Path) -> None:
    """The empty list at once, then 404 (CH-21, CH-20)."""
    async with daemon(tmp_path) as running:
        channel = await opened(running)
        async with await held(running, channel) as stream:
            assert (await running.delete(channel["resourceURL"])).status == 204
            assert ids((await read_answer(stream))[0]) == []
        assert (await running.get(url(channel))).refusal == (404, "SVC0004", ["channelId"])


async def test_hung_up_while_held(tmp_path: Path) -> None:
    """It takes nothing with it (CH-68)."""
    async with daemon(tmp_path) as running:
        channel = await opened(running)
        async with await held(running, channel):
            pass
        await wait_all_tasks_blocked()
        await running.publish("a")
        assert ids(await running.get(url(channel))) == ["a"]


async def test_through_a_restart(tmp_path: Path) -> None:
    """A batch whose answer the daemon knows nothing of comes again, unless its position is given
    back; positions go on (CH-67, CH-130)."""
    async with daemon(tmp_path) as running:
        channel = await opened(running)
        await running.publish("a", "b")
        assert ids(await running.get(url(channel))) == ["a", "b"]
    async with daemon(tmp_path) as running:
        again = await running.get(url(channel))
        assert ids(again) == ["a", "b"]
    async with daemon(tmp_path) as running:
        await running.publish("c")
        answer = await running.get(url(channel, f"?since={position(again)}"))
        assert ids(answer) == ["c"]
        assert position(answer).endswith(":3")


async def test_drain(tmp_path: Path) -> None:
    """A held poll is answered with the empty list and the connection ends (CH-60)."""
    async with daemon(tmp_path) as running:
        channel = await opened(running)
        async with await held(running, channel) as stream:
            running.app.stop()
            answer, _ = await read_answer(stream)
            assert ids(answer) == []
            assert answer.headers["connection"] == "close"


async def test_polls_are_no_sockets(tmp_path: Path) -> None:
    """They take no places from sockets (section 15)."""
    async with daemon(tmp_path, ws={"max_connections": 1}, longpoll={"hold": 0}) as running:
        polled = await opened(running)
        await running.get(url(polled))
        async with connected(running, await running.open_channel()) as client:
            assert await client.is_alive()
