"""A whole daemon inside a test: the real `App` on free ports with a store of its own.

`async with daemon(tmp_path) as running:` and then `running.post(...)`, each request on a
connection of its own, read back by h11.
"""

import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import h11
import trio
from tests.fakes.described import Exchanged, check_with
from tests.fakes.tokens import SECRET

from tocsin.app import App
from tocsin.config import Config, parse
from tocsin.wire.integers import dumps
from tocsin.wire.jwk import shared_secret
from tocsin.wire.jwt import mint

USER = "alice@example.com"
CHANNELS = f"/cpaas/notificationchannel/v1/{USER}/channels"
INBOUND = f"/cpaas/smsmessaging/v1/{USER}/inbound/subscriptions"
RECEIPTS = f"/cpaas/smsmessaging/v1/{USER}/outbound/+1613/subscriptions"
CHAT = f"/cpaas/chat/v1/{USER}/subscriptions"
PUBLISH = "/v1/notifications"
HOOK = "http://127.0.0.1:65535/hook"
TEXTS = {
    "SVC0001": "A service error occurred. Error code is %1",
    "SVC0002": "Invalid input value for message part %1",
    "SVC0003": "Invalid input value for message part %1, valid values are %2",
    "SVC0004": "No valid addresses provided in message part %1",
    "SVC0005": "Correlator %1 specified in message part %2 is a duplicate",
    "SVC1000": "No server resources available to process the request",
    "POL0001": "A policy error occurred. Error code is %1",
}
Header = tuple[str, str]


@attrs.frozen
class Answer:
    """One answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as a value, its integers exact."""
        return json.loads(self.body)

    @property
    def refusal(self) -> tuple[int, str, list[str]]:
        """Status, messageId and variables of an error, whose form is checked (CH-5, CH-120)."""
        assert self.headers["content-type"] == "application/json"
        assert self.headers["cache-control"] == "no-store"
        [(name, [(kind, error)])] = [(k, list(v.items())) for k, v in self.json.items()]
        assert name == "requestError"
        assert set(error) == {"messageId", "text", "variables"}
        assert kind == f"{'policy' if error['messageId'][:3] == 'POL' else 'service'}Exception"
        assert error["text"] == TEXTS[error["messageId"]]
        assert error["text"].count("%") == len(error["variables"])
        assert not set("{}") & set(error["text"] + "".join(error["variables"]))
        assert all(len(v) <= 100 and v.isprintable() for v in error["variables"])
        return self.status, error["messageId"], error["variables"]


def token(user: str = USER, scope: str = "channels", *, expires_in: int = 3600, **more: Any) -> str:
    """A token the daemon accepts, or one that has expired."""
    claims = {"sub": user, "preferred_username": user, "scope": scope, **more}
    return mint(claims, shared_secret(SECRET), now=time.time(), lifetime=expires_in)


def request_bytes(
    method: str, target: str, *, body: bytes = b"", headers: Iterable[Header] = ()
) -> bytes:
    """An HTTP/1.1 request as it goes over the wire."""
    lines = [f"{method} {target} HTTP/1.1", "Host: tocsin"]
    lines += [f"{name}: {value}" for name, value in headers]
    lines += [f"Content-Length: {len(body)}"] if body or method == "POST" else []
    return "\r\n".join([*lines, "", ""]).encode() + body


async def dial(address: str) -> trio.SocketStream:
    """A connection to a bound address."""
    host, _, port = address.rpartition(":")
    return await trio.open_tcp_stream(host, int(port))


async def read_answer(stream: trio.SocketStream) -> tuple[Answer, bytes]:
    """The answer that comes next, and what was read behind it; 10 s are too long."""
    reader = h11.Connection(h11.CLIENT)
    upgrade = [("Host", "x"), ("Connection", "upgrade"), ("Upgrade", "websocket")]
    reader.send(h11.Request(method="GET", target="/", headers=upgrade))
    reader.send(h11.EndOfMessage())
    head, body = None, b""
    with trio.fail_after(30):
        while True:
            event = reader.next_event()
            if event is h11.NEED_DATA:
                reader.receive_data(await stream.receive_some(65536))
            elif isinstance(event, h11.Response | h11.InformationalResponse):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                break
    assert head is not None, event
    names = {name.decode(): value.decode() for name, value in head.headers}
    return Answer(head.status_code, names, body), reader.trailing_data[0]


@attrs.define
class Daemon:
    """A running daemon; `folder` outlives it."""

    app: App
    folder: Path

    @property
    def public(self) -> str:
        """Where REST and sockets are."""
        return self.app.public_addresses[0]

    async def ask(
        self,
        method: str,
        target: str,
        body: object = None,
        *,
        scope: str = "channels",
        bearer: str | None = "",
        headers: Iterable[Header] = (),
        address: str | None = None,
    ) -> Answer:
        """One request; `body` may be bytes. A token for Alice unless `bearer` is None or one."""
        data = body if isinstance(body, bytes) else b"" if body is None else dumps(body)
        auth = (
            [] if bearer is None else [("Authorization", f"Bearer {bearer or token(scope=scope)}")]
        )
        raw = request_bytes(method, target, body=data, headers=[*auth, *headers])
        async with await dial(address or self.public) as stream:
            await stream.send_all(raw)
            answer = (await read_answer(stream))[0]
        sent_type = {name.lower(): value for name, value in headers}.get("content-type")
        check_with(
            self.app.reloads.config,
            Exchanged(method, target, data, sent_type, answer.status, answer.headers, answer.body),
            admin=address in self.app.admin_addresses,
        )
        return answer

    async def admin(self, target: str, method: str = "GET") -> Answer:
        """A request to the admin listener."""
        return await self.ask(method, target, bearer=None, address=self.app.admin_addresses[0])

    async def post(self, target: str, body: object, **options: Any) -> Answer:
        """POST."""
        return await self.ask("POST", target, body, **options)

    async def get(self, target: str, **options: Any) -> Answer:
        """GET."""
        return await self.ask("GET", target, **options)

    async def delete(self, target: str, **options: Any) -> Answer:
        """DELETE."""
        return await self.ask("DELETE", target, **options)

    async def open_channel(self, *, correlator: str = "tab", **members: Any) -> dict[str, Any]:
        """A channel of Alice's, websockets unless `channelType` says otherwise."""
        wanted = {"channelType": "websockets", "clientCorrelator": correlator, **members}
        answer = await self.post(CHANNELS, {"notificationChannel": wanted})
        assert answer.status == 201, answer
        made: dict[str, Any] = answer.json["notificationChannel"]
        return made

    async def open_webhook(self, url: str = HOOK, **data: Any) -> dict[str, Any]:
        """A webhook channel of Alice's."""
        data = {"x-webhookURL": url, **data}
        return await self.open_channel(channelType="Webhooks", channelData=data)

    async def subscribe(self, channel: dict[str, Any], **members: Any) -> dict[str, Any]:
        """A chat subscription of Alice's."""
        wanted = {"callbackReference": {"notifyURL": channel["callbackURL"]}, **members}
        answer = await self.post(CHAT, {"chatNotificationSubscription": wanted})
        assert answer.status == 201, answer
        made: dict[str, Any] = answer.json["chatNotificationSubscription"]
        return made

    async def publish(self, *ids: str, text: str = "", **members: Any) -> list[dict[str, Any]]:
        """Chat messages for Alice with these ids, accepted in one request."""
        answer = await self.post(
            PUBLISH, [chat(id_, text=text, **members) for id_ in ids], scope="publish"
        )
        assert answer.status == 202, answer
        results: list[dict[str, Any]] = answer.json
        return results

    async def metric(self, series: str) -> float:
        """The value of one series of the exposition."""
        lines = (await self.admin("/metrics")).body.decode().splitlines()
        [value] = [line.rpartition(" ")[2] for line in lines if line.startswith(f"{series} ")]
        return float(value)

    async def stored(self) -> list[dict[Any, int]]:
        """How much of everything is in the store."""
        counts = await self.app.store.counts()
        return [counts.channels, counts.subscriptions, counts.pending, counts.dead]


def chat(id_: str, *, text: str = "", user: str = USER, **members: Any) -> dict[str, Any]:
    """One item of a publish request."""
    notification = {"chatMessageNotification": {"chatMessage": {"text": text}}}
    return {"user": user, "service": "chat", "id": id_, "notification": notification, **members}


def configured(folder: Path, **tables: Any) -> Config:
    """The configuration of a test: free ports, everything in `folder`, loopback hooks, no rate."""
    document: dict[str, Any] = {
        "state_dir": str(folder),
        "listen": {"public": "127.0.0.1:0", "admin": "127.0.0.1:0"},
        "store": {"path": str(folder / "tocsin.db")},
        "auth": {"shared_secret": SECRET},
        "limits": {"rate": 0},
        "webhooks": {"allow_http": ["127.0.0.1"], "allow_networks": ["127.0.0.0/8"]},
        "drain": {"window": 0},
    }
    for name, table in tables.items():
        document[name] = {**document.get(name, {}), **table} if isinstance(table, dict) else table
    return parse(document, folder=folder, environ={})


@asynccontextmanager
async def daemon(folder: Path, **tables: Any) -> AsyncIterator[Daemon]:
    """A daemon that serves until the block ends; then it is cut off, as by a second signal."""
    app = App(configured(folder, **tables))
    ready = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_run, app, ready)
        with trio.fail_after(30):
            await ready.wait()
        try:
            yield Daemon(app, folder)
        finally:
            nursery.cancel_scope.cancel()


async def _run(app: App, ready: trio.Event) -> None:
    await app.run(on_ready=ready.set)
