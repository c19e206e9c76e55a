"""The traps of channels.md, section 16, over the wire: those on the WebSocket.

Those of the REST calls are in `test_rest_traps`. T15 needs pushes, which are not there yet.
"""

from pathlib import Path
from typing import Any

import pytest
from tests.end_to_end.services import EXAMPLES, FACES, item
from tests.fakes import client_frames
from tests.fakes.daemon import PUBLISH, USER, Answer, Daemon, daemon, token
from tests.fakes.notification_socket import NotificationSocket, connected, handshake
from trio.testing import MockClock
from wsproto.frame_protocol import Opcode

ACK: dict[str, object] = {"connAck": {}}


@pytest.fixture
def leaping_clock() -> MockClock:
    """Runs like any clock, and leaps when told to."""
    return MockClock(rate=1.0)


async def refusal(running: Daemon, channel: dict[str, Any], **options: Any) -> Answer:
    """What a handshake is refused with."""
    answer = await handshake(running, channel["callbackURL"], **options)
    assert isinstance(answer, Answer), "it was accepted"
    return answer


async def subscribe_to_all(running: Daemon, channel: dict[str, Any]) -> None:
    """Everything a socket can hear about."""
    for face in FACES:
        if face.service != "account":
            wanted = face.wanted(channel["callbackURL"])
            answer = await running.post(face.collection(USER), wanted)
            assert answer.status == 201, answer


async def test_t2_every_notification_has_its_id_one_level_down(tmp_path: Path) -> None:
    """T2, CH-100: whatever the service and root key, the frame has one root key and the id of
    the 202 one level below it."""
    items = [
        item(USER, service, notification)
        for service, examples in EXAMPLES.items()
        for notification in examples
    ]
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        await subscribe_to_all(running, channel)
        async with connected(running, channel) as client:
            for one in items:
                [answer] = (await running.post(PUBLISH, [one], scope="publish")).json
                [(root, body)] = (await client.message()).items()
                assert (body["id"], answer["status"]) == (answer["id"], "accepted")
                assert root in one["notification"]


async def test_t5_a_fractional_interval(tmp_path: Path, leaping_clock: MockClock) -> None:
    """T5, CH-54, CH-57: a connCheck with interval 0.7 is answered and adopted: such a client is
    taken for dead after two seconds of silence, not after six minutes."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel(**{"x-connCheckRole": "client"})
        async with connected(running, channel) as client:
            await client.say({"connCheck": {"interval": 0.7}})
            assert await client.message() == ACK
            leaping_clock.jump(2.2)
            assert await client.closed() == 1001


async def test_t6_signs_of_life_extend_the_lifetime(
    tmp_path: Path, leaping_clock: MockClock
) -> None:
    """T6, CH-41: with lifetime 60, a client that only checks and one that only answers Pings both
    live for ten idle minutes, are told what happens then, and die a minute after they left."""
    async with daemon(tmp_path) as running:
        checking, answering, absent = [
            await running.open_channel(correlator=name, channelLifetime=60)
            for name in ("checking", "answering", "absent")
        ]
        for channel in (checking, answering):
            await running.subscribe(channel)
        async with connected(running, checking) as checks, connected(running, answering) as answers:
            for _ in range(20):
                leaping_clock.jump(30.5)
                await checks.say({"connCheck": {"interval": 30}})
                assert await checks.message() == ACK
                await answers.settle()
            assert (await running.get(absent["resourceURL"])).status == 404
            await running.publish("at-last")
            assert await checks.ids(1) == await answers.ids(1) == ["at-last"]
        leaping_clock.jump(62)
        for channel in (checking, answering):
            assert (await running.get(channel["resourceURL"])).status == 404


async def test_t7_a_restart_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """T7, CH-58, CH-60: the socket closes 1012, the client returns to the same id, and without
    equal ids it has everything, in order."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        await running.subscribe(channel)
        async with connected(running, channel) as client:
            await running.publish("settled", "seen")
            received = await client.ids(2)
            running.app.stop()
            assert await client.closed() == 1012
    async with daemon(tmp_path) as running:
        await running.publish("after", "last")
        async with connected(running, channel) as client:
            while received[-1] != "last":
                received += await client.ids(1)
    assert list(dict.fromkeys(received)) == ["settled", "seen", "after", "last"]


async def test_t8_deleted_is_the_end(tmp_path: Path) -> None:
    """T8, CH-59: DELETE closes 1000, and a client that comes back all the same gets 404, always."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        async with connected(running, channel) as client:
            assert (await running.delete(channel["resourceURL"])).status == 204
            assert await client.closed() == 1000
        for _ in range(5):
            assert (await refusal(running, channel)).refusal == (404, "SVC0004", ["channelId"])


async def test_t8_expired_is_the_end(tmp_path: Path, leaping_clock: MockClock) -> None:
    """T8, CH-43, CH-59: so does a lifetime that has run out."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel(channelLifetime=60)
        async with connected(running, channel) as client:
            leaping_clock.jump(62)
            assert await client.closed() == 1000
        assert (await refusal(running, channel)).refusal == (404, "SVC0004", ["channelId"])


async def test_t8_superseded_is_the_end(tmp_path: Path) -> None:
    """T8, CH-45, CH-51: a newer socket closes the older one 1000; and once a page has gone and
    the next one has subscribed, what waited rings there and the old channel is 404."""
    async with daemon(tmp_path) as running:
        old = await running.open_channel()
        await running.subscribe(old)
        async with connected(running, old) as older, connected(running, old) as newer:
            assert await older.closed() == 1000
            await newer.send(client_frames.close(1001))
            assert await newer.closed() == 1001
        await running.publish("while-away")
        new = await running.open_channel()
        await running.subscribe(new)
        async with connected(running, new) as client:
            assert await client.ids(1) == ["while-away"]
        assert (await refusal(running, old)).refusal == (404, "SVC0004", ["channelId"])


@pytest.mark.parametrize(("grace", "expired_for", "status"), [(0, 40, 401), (600, 40, 101)])
async def test_t9_an_expired_token_on_a_reconnect(
    tmp_path: Path, grace: int, expired_for: int, status: int
) -> None:
    """T9, CH-61: an expired token is 401 on a reconnect, and within the grace 101; the grace is
    for the channel's own socket alone, and has an end."""
    old, older = token(expires_in=-expired_for), token(expires_in=-601 - 30)
    async with daemon(tmp_path, ws={"expired_token_grace": grace}) as running:
        channel = await running.open_channel()
        answer = await handshake(running, channel["callbackURL"], bearer=old)
        if isinstance(answer, NotificationSocket):
            assert status == 101
            assert await answer.is_alive()
            await answer.stream.aclose()
        else:
            assert answer.refusal == (status, "POL0001", ["token_expired"])
        expired = (401, "POL0001", ["token_expired"])
        assert (await refusal(running, channel, bearer=older)).refusal == expired
        assert (await running.get(channel["resourceURL"], bearer=old)).refusal == expired


async def test_t14_two_tabs_with_one_correlator(tmp_path: Path) -> None:
    """T14, CH-45: both get the message, also what came while one of them was reconnecting."""
    async with daemon(tmp_path) as running:
        first = await running.open_channel(correlator="browser")
        await running.subscribe(first)
        async with connected(running, first) as tab:
            second = await running.open_channel(correlator="browser")
            await running.subscribe(second)
            async with connected(running, second) as other:
                await running.publish("both")
                assert await tab.ids(1) == await other.ids(1) == ["both"]
                await tab.settle()
                await tab.stream.aclose()
                await running.publish("meanwhile")
                async with connected(running, first) as again:
                    assert await again.ids(1) == await other.ids(1) == ["meanwhile"]
                    await running.publish("after")
                    assert await again.ids(1) == await other.ids(1) == ["after"]
    assert first["callbackURL"] != second["callbackURL"]


async def test_t16_the_old_ping_is_tolerated(tmp_path: Path) -> None:
    """T16, CH-53: `{"message_type":"ping"}` is never answered and does no harm."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        async with connected(running, channel) as client:
            for _ in range(20):
                await client.say({"message_type": "ping"})
            await client.say({"connCheck": {"interval": 60}})
            kind, text = await client.frame()
    assert (kind, text) == (Opcode.TEXT, '{"connAck":{}}')
