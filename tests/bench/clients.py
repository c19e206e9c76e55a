"""Users with channels and subscriptions, made over the REST API as clients do."""

import itertools
import json
from collections.abc import Callable, Iterator, Sequence

import attrs
from tests.bench.daemon import Daemon
from tests.bench.http_load import Answer, Outgoing, drive, post

CHANNELS = "/cpaas/notificationchannel/v1/{user}/channels"
SUBSCRIPTIONS = "/cpaas/chat/v1/{user}/subscriptions"
CONNECTIONS = 32


@attrs.frozen
class Client:
    """One channel of one user, subscribed to chat."""

    user: str
    channel: str
    token: str

    @property
    def socket_path(self) -> str:
        """Where its WebSocket is opened, with the token."""
        path = CHANNELS.format(user=self.user)
        return f"{path}/{self.channel}/websocket?access_token={self.token}"


def one_each(daemon: Daemon, prefix: str, count: int) -> list[Client]:
    """Users `prefix` 0, 1, .. with a websockets channel each."""
    tokens = {f"{prefix}{number}": daemon.token(f"{prefix}{number}") for number in range(count)}
    return _make(daemon, list(tokens.items()))


def one_with_many(daemon: Daemon, prefix: str, count: int) -> list[Client]:
    """User `prefix` 0 with so many websockets channels."""
    user = f"{prefix}0"
    return _make(daemon, [(user, daemon.token(user))] * count)


def with_webhook(daemon: Daemon, prefix: str, url: str) -> list[Client]:
    """User `prefix` 0 with one channel that calls a webhook, with an Authorization."""
    user = f"{prefix}0"
    return _make(daemon, [(user, daemon.token(user))], url=url)


def _make(
    daemon: Daemon, owners: Sequence[tuple[str, str]], *, url: str | None = None
) -> list[Client]:
    channels = _post_all(
        daemon,
        [
            post(CHANNELS.format(user=user), token, _channel(f"c{number}", url))
            for number, (user, token) in enumerate(owners)
        ],
    )
    ids = [channel["notificationChannel"]["callbackURL"] for channel in channels]
    clients = [Client(user, id_, token) for (user, token), id_ in zip(owners, ids, strict=True)]
    _post_all(
        daemon,
        [
            post(SUBSCRIPTIONS.format(user=one.user), one.token, _subscription(one.channel))
            for one in clients
        ],
    )
    return clients


def _channel(correlator: str, url: str | None) -> bytes:
    members: dict[str, object] = {"clientCorrelator": correlator, "channelType": "websockets"}
    if url is None:
        members["channelLifetime"] = 86_400
    else:
        data = {"x-webhookURL": url, "x-authorization": "Bearer 0123456789abcdef"}
        members |= {"channelType": "Webhooks", "channelData": data}
    return json.dumps({"notificationChannel": members}).encode()


def _subscription(channel: str) -> bytes:
    members = {"callbackReference": {"notifyURL": channel}, "clientCorrelator": "bench"}
    return json.dumps({"chatNotificationSubscription": members}).encode()


def _post_all(daemon: Daemon, requests: Sequence[bytes]) -> list[dict[str, dict[str, str]]]:
    """The answers in the order of the requests; any but 201 ends the run."""
    bodies: dict[int, bytes] = {}

    def answered(answer: Answer) -> None:
        if answer.status != 201:
            raise SystemExit(f"{answer.status}: {answer.body.decode(errors='replace')}")
        bodies[answer.number] = answer.body

    outgoing: Iterator[Outgoing] = map(Outgoing, requests, itertools.repeat(0.0))
    drive(daemon.port, outgoing, connections=CONNECTIONS, answered=answered)
    in_order: Callable[[int], bytes] = bodies.__getitem__
    return [json.loads(in_order(number)) for number in range(len(requests))]
