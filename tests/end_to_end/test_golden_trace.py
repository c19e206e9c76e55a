"""What a deployed browser client does from its first request to its last (channels.md, 16)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
import trio
from tests.end_to_end.clients import Platform, User
from tests.end_to_end.daemon import BOUND, Daemon, until
from tests.end_to_end.services import CALL, CHAT, EXAMPLES, PRESENCE, SMS, Face, item
from trio_websocket import WebSocketConnection, wrap_client_stream

pytestmark = pytest.mark.end_to_end

NAME = "alice@example.com"
CHANNEL = {
    "channelLifetime": 3600,
    "channelType": "Websockets",
    "clientCorrelator": "acc-1",
    "x-connCheckRole": "client",
}
TOLD = ("call", "chat", "sms", "presence")


async def test_the_golden_trace(tmp_path: Path) -> None:
    """Section 16, CH-10, CH-21, CH-30, CH-54, CH-90, CH-93: the channel, its socket, the four
    subscriptions around the first connCheck, a notification of each service, and the way out,
    each answered as deployed clients expect."""
    async with Daemon(tmp_path) as daemon:
        user, platform = User(daemon, NAME), Platform(daemon)
        with trio.fail_after(BOUND):
            channel = await create(user)
            async with browser_socket(user, channel["channelData"]["channelURL"]) as socket:
                subscriptions = [await subscribe(user, CALL)]
                await socket.send_message('{"connCheck":{"interval":20}}')
                assert await socket.get_message() == '{"connAck":{}}'
                subscriptions += [
                    await subscribe(user, face, channel["callbackURL"])
                    for face in (CHAT, SMS, PRESENCE)
                ]
                for service in TOLD:
                    told = EXAMPLES[service][0]
                    [id_] = await platform.publish(item(NAME, service, told))
                    check_frame(await socket.get_message(), told, id_)
                await until(partial(has_receipts, daemon, len(TOLD)), "the Pongs have arrived")

                await delete_all(user, subscriptions)
                await socket.aclose(1000)
            gone = [await user.call("DELETE", channel["resourceURL"]) for _ in range(2)]
            assert [answer.status for answer in gone] == [204, 404]
            assert (await user.call("GET", channel["resourceURL"])).status == 404
            assert (await platform.post(item(NAME, "chat", EXAMPLES["chat"][0]))).json()[
                "status"
            ] == "no_channel"


async def create(user: User) -> dict[str, Any]:
    """POST channels."""
    answer = await user.call("POST", user.channels, {"notificationChannel": CHANNEL})
    assert answer.status == 201, answer
    [[envelope, channel]] = answer.json().items()
    id_ = channel["callbackURL"]
    url = f"{user.channels}/{id_}"
    assert (envelope, answer.headers["location"]) == ("notificationChannel", url)
    assert channel == {
        **CHANNEL,
        "channelType": "websockets",
        "callbackURL": id_,
        "channelData": {"channelURL": f"{url}/websocket"},
        "resourceURL": url,
    }
    return dict(channel)


async def subscribe(user: User, face: Face, channel: str | None = None) -> str:
    """POST a subscription; its URL. Calls find the channel by the client's correlator."""
    wanted = face.wanted(channel, clientCorrelator="acc-1")
    answer = await user.call("POST", face.collection(NAME), wanted)
    assert answer.status == 201, answer
    made = answer.json()[face.envelope]
    collection, _, id_ = str(made["resourceURL"]).rpartition("/")
    assert (collection, answer.headers["location"]) == (
        face.collection(NAME),
        made["resourceURL"],
    )
    assert id_
    assert made.get("presenceListId") == ("L1" if face is PRESENCE else None)
    assert made["clientCorrelator"] == "acc-1"
    return str(made["resourceURL"])


async def delete_all(user: User, urls: list[str]) -> None:
    """DELETE each subscription, in parallel."""

    async def delete(url: str) -> None:
        assert (await user.call("DELETE", url)).status == 204

    async with trio.open_nursery() as requests:
        for url in urls:
            requests.start_soon(delete, url)


def check_frame(frame: str | bytes, told: dict[str, dict[str, Any]], id_: str) -> None:
    """One text, one root key, our id and time inside it, everything else as it was published."""
    assert isinstance(frame, str)
    [[root, body]] = orjson.loads(frame).items()
    assert body.pop("id") == id_
    assert isinstance(body.pop("dateTime"), int)
    assert {root: body} == told


async def has_receipts(daemon: Daemon, count: int) -> bool:
    """Whether so many notifications are known to have arrived."""
    name = "tocsin_deliveries_total"
    return await daemon.metric(name, type="websockets", outcome="delivered") == count


@asynccontextmanager
async def browser_socket(user: User, path: str) -> AsyncIterator[WebSocketConnection]:
    """The socket of a client that cannot set headers: its token is in the query."""
    host, _, port = user.daemon.public.rpartition(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream, trio.open_nursery() as tasks:
        target = f"{path}?access_token={user.bearer}"
        yield await wrap_client_stream(tasks, stream, user.daemon.public, target)
        tasks.cancel_scope.cancel()
