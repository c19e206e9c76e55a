"""Those who talk to the daemon: users with channels, and the platform that publishes."""

from typing import Any

import orjson
from tests.end_to_end.daemon import Daemon, token
from tests.end_to_end.http_connection import Answer, HttpConnection, http_connection

PREFIX = "/cpaas"
ROOT = "chatMessageNotification"
SENT = (200, "Your message was sent.")
QUEUED = (200, "Your message was queued.")


def chat(user: str, text: str, **members: object) -> dict[str, Any]:
    """A publish item: a chat message to one user; `members` are added to the item."""
    return {
        "user": user,
        "service": "chat",
        "notification": {ROOT: {"chatMessage": {"text": text}}},
        **members,
    }


def text_of(frame: str | bytes) -> str:
    """The message in a notification."""
    return str(orjson.loads(frame)[ROOT]["chatMessage"]["text"])


def id_of(frame: str | bytes) -> str:
    """The id of a notification, one level below the root (CH-100)."""
    [body] = orjson.loads(frame).values()
    return str(body["id"])


class Platform:
    """Publishes."""

    def __init__(self, daemon: Daemon, *, bearer: str | None = None) -> None:
        self._daemon = daemon
        self._headers = {
            "Authorization": f"Bearer {bearer or token('platform', 'publish')}",
            "Content-Type": "application/json",
        }

    async def post(self, document: object) -> Answer:
        """POST one item or a list of items over a connection of its own."""
        async with http_connection(self._daemon.public) as connection:
            return await self.post_over(connection, document)

    async def post_over(self, connection: HttpConnection, document: object) -> Answer:
        """The same over a connection that is kept."""
        body = orjson.dumps(document)
        return await connection.request("POST", "/v1/notifications", body, self._headers)

    async def publish(self, *items: dict[str, Any]) -> list[str]:
        """Publish a list, all of which must be accepted; the ids."""
        response = await self.post(list(items))
        assert response.status == 202, response.body
        answers = response.json()
        assert [one["status"] for one in answers] == ["accepted"] * len(items), answers
        return [one["id"] for one in answers]


class User:
    """One user at one device: REST calls with a token of its own."""

    def __init__(self, daemon: Daemon, name: str, *, bearer: str | None = None) -> None:
        self.daemon = daemon
        self.name = name
        self.bearer = bearer or token(name)

    @property
    def channels(self) -> str:
        """The path of the user's channels."""
        return f"{PREFIX}/notificationchannel/v1/{self.name}/channels"

    def socket_url(self, channel: str) -> str:
        """The absolute URL of a channel's WebSocket, at the daemon as it runs now."""
        return f"ws://{self.daemon.public}{self.channels}/{channel}/websocket"

    async def call(self, method: str, path: str, document: object = None) -> Answer:
        """One request with this user's token."""
        headers = {"Authorization": f"Bearer {self.bearer}"}
        body = b""
        if document is not None:
            headers["Content-Type"] = "application/json"
            body = orjson.dumps(document)
        async with http_connection(self.daemon.public) as connection:
            return await connection.request(method, path, body, headers)

    async def open_channel(self, channel_type: str, **fields: object) -> str:
        """Create a channel; its id."""
        wanted = {"channelType": channel_type, "clientCorrelator": "device", **fields}
        response = await self.call("POST", self.channels, {"notificationChannel": wanted})
        assert response.status == 201, response.body
        return str(response.json()["notificationChannel"]["callbackURL"])

    async def subscribe(self, channel: str) -> None:
        """Subscribe a channel to the user's chat messages."""
        response = await self.call(
            "POST",
            f"{PREFIX}/chat/v1/{self.name}/subscriptions",
            {"chatNotificationSubscription": {"callbackReference": {"notifyURL": channel}}},
        )
        assert response.status == 201, response.body

    async def socket_channel(self, **fields: object) -> str:
        """A websockets channel subscribed to chat."""
        channel = await self.open_channel("websockets", **fields)
        await self.subscribe(channel)
        return channel

    async def webhook_channel(self, port: int, path: str = "/hook", **data: object) -> str:
        """A webhook on loopback subscribed to chat."""
        url = f"http://127.0.0.1:{port}{path}"
        data = {"x-webhookURL": url, **data}
        channel = await self.open_channel("Webhooks", channelData=data)
        await self.subscribe(channel)
        return channel

    async def push_channel(self, app: str, device_token: str, **fields: object) -> str:
        """The channel of an app on one of Apple's devices, subscribed to nothing yet."""
        data = {"appId": app, "x-provider": "apns", "x-deviceToken": device_token}
        return await self.open_channel("OMAPush", channelData=data, **fields)

    async def delete(self, channel: str) -> int:
        """DELETE a channel; the status."""
        return (await self.call("DELETE", f"{self.channels}/{channel}")).status


class Caller:
    """Pushes through the gateway; with a token only if it is given one."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    async def post(
        self, path: str, body: bytes, content_type: str = "application/json", **headers: str
    ) -> Answer:
        """One request, as it is."""
        fields = {"Content-Type": content_type, **headers}
        async with http_connection(self._daemon.public) as connection:
            return await connection.request("POST", path, body, fields)

    async def multisend(self, *elements: object) -> list[tuple[int, str]]:
        """The code and the text for each of these."""
        answer = await self.post("/pnm2/multisend", orjson.dumps(elements))
        assert answer.status == 200, answer.body
        return [said(one) for one in answer.json()]

    async def send(self, element: object) -> tuple[int, str]:
        """The same for one, through `/pnm2/send`."""
        answer = await self.post("/pnm2/send", orjson.dumps(element))
        assert answer.status == 200, answer.body
        return said(answer.json())


def said(reply: dict[str, Any]) -> tuple[int, str]:
    """The code and the text of a reply; there is nothing else in it (PU-2)."""
    assert set(reply) == {"code", "status", "response"}
    assert reply["code"] == reply["status"]
    return reply["code"], reply["response"]
