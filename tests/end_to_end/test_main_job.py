"""What the daemon is for: published once, on every socket and webhook of the user."""

from pathlib import Path

import orjson
import pytest
import trio
from tests.end_to_end.clients import Platform, User, chat, id_of, text_of
from tests.end_to_end.daemon import BOUND, Daemon, until
from tests.end_to_end.library_socket import library_socket
from tests.end_to_end.notification_socket import open_socket
from tests.fakes import receiver

pytestmark = pytest.mark.end_to_end

# Texts that must pass untouched (CH-100): order of members, big and small numbers, any script.
AWKWARD = {
    "chatMessageNotification": {
        "zebra": 1,
        "chatMessage": {"text": 'čau \U0001f44b "\\\u2028', "x": [1.5, 12345678901234567890, None]},
        "apple": {},
    }
}


async def test_published_once_it_arrives_on_socket_and_webhook(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """CH-82, CH-100, CH-110: one 202 object for one object; the webhook's body is byte for byte
    the socket's frame, with our id and dateTime inside and everything else as it came."""
    hook = await receiver.start(nursery)
    async with Daemon(tmp_path) as daemon:
        user = User(daemon, "alice@example.com")
        channel = await user.socket_channel()
        await user.webhook_channel(hook.port, **{"x-authorization": "Bearer hers"})
        with trio.fail_after(BOUND):
            async with library_socket(user, channel) as socket:
                item = {"user": user.name, "service": "chat", "notification": AWKWARD}
                response = await Platform(daemon).post(item)
                frame = await socket.get_message()
        await until(lambda: hook.requests, "the webhook is called")

    answer = response.json()
    assert (response.status, answer) == (
        202,
        {"id": answer["id"], "channels": 2, "status": "accepted"},
    )
    [request] = hook.requests
    assert request.body == str(frame).encode()
    assert (request.method, request.target) == ("POST", "/hook")
    assert request.headers["authorization"] == "Bearer hers"
    assert request.headers["webhook-id"] == answer["id"] == id_of(frame)
    [[root, body]] = orjson.loads(frame).items()
    assert isinstance(body.pop("dateTime"), int)
    assert body.pop("id") == answer["id"]
    assert orjson.dumps({root: body}) == orjson.dumps(AWKWARD)


async def test_a_list_with_a_bad_item(tmp_path: Path) -> None:
    """CH-110, CH-111: a list is answered item by item in its order; a bad item is rejected and
    named, its neighbours are delivered, and a user without channels is no mistake."""
    async with Daemon(tmp_path) as daemon:
        user = User(daemon, "alice")
        channel = await user.socket_channel()
        response = await Platform(daemon).post(
            [
                chat("alice", "one", id="e1"),
                {"user": "alice", "notification": {}},
                chat("nobody", "lost"),
                chat("alice", "two", id="e2"),
            ]
        )
        async with open_socket(user, channel) as socket:
            frames = await socket.texts(2)
        nothing = await Platform(daemon).post([])

    first, bad, nowhere, last = response.json()
    assert response.status == 202
    assert first == {"id": "e1", "channels": 1, "status": "accepted"}
    assert last == {"id": "e2", "channels": 1, "status": "accepted"}
    assert nowhere == {"id": nowhere["id"], "channels": 0, "status": "no_channel"}
    assert (bad["id"], bad["channels"], bad["status"]) == (None, 0, "rejected")
    assert (bad["error"]["messageId"], bad["error"]["variables"]) == ("SVC0002", ["service"])
    assert [(id_of(frame), text_of(frame)) for frame in frames] == [("e1", "one"), ("e2", "two")]
    assert (nothing.status, nothing.json()) == (202, [])
