"""A webhook transport, a delivery for it, and what a receiver makes of its signature."""

import base64
import hashlib
import hmac
import socket
import ssl
from collections.abc import Sequence
from typing import Any

from tests.fakes.memory_connection import MemoryDialler
from tests.fakes.receiver import Received

from tocsin.model.channel import Channel, ChannelType, Webhook
from tocsin.model.delivery import Delivery
from tocsin.model.notification import Notification, Priority
from tocsin.model.outcome import Deferred, Word
from tocsin.ops.metrics import Metrics
from tocsin.transports.guard import AddressGuard
from tocsin.transports.lookups import Lookups, SocketAddress
from tocsin.transports.settings import WebhookSettings
from tocsin.transports.webhook import WebhookTransport

NOW = 1_700_000_000_000
KEY, OTHER_KEY = bytes(range(24)), bytes(range(1, 33))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
THIRD_KEY = bytes(range(2, 34))
OTHER_SECRET = "whsec_" + base64.b64encode(OTHER_KEY).decode()
THIRD_SECRET = "whsec_" + base64.b64encode(THIRD_KEY).decode()
BODY = b'{"smsSubscriptionNotification": {"id":"1"}}'
UNANSWERED = Deferred("unanswered", unanswered=True)
SLOWLY = frozenset({Word.THROTTLE, Word.HOLD})
LOCAL = WebhookSettings(allow_http=["127.0.0.1", "a.example"], allow_networks=["127.0.0.0/8"])
CLOCKS: dict[str, Any] = {"wall": lambda: NOW, "clock": lambda: 0, "metrics": Metrics()}


def channel(url: str, **secrets: str) -> Channel:
    return Channel(
        id=Channel.new_id(ChannelType.WEBHOOKS),
        user="u",
        type=ChannelType.WEBHOOKS,
        created_at=0,
        client_correlator="c",
        webhook=Webhook(url, "origin", **secrets),
    )


def delivery_to(target: Channel, body: bytes = BODY) -> Delivery:
    notification = Notification(
        id="n-1",
        user="u",
        service="sms",
        root_key="smsSubscriptionNotification",
        body=body,
        priority=Priority.NORMAL,
        accepted_at=0,
        expires_at=1,
        order_key="k",
    )
    return Delivery(1, notification, target)


HOOK = delivery_to(channel("https://a.example/hook"))


def transport_over(connect: MemoryDialler, settings: WebhookSettings = LOCAL) -> WebhookTransport:
    return WebhookTransport(settings, guard=AddressGuard(settings), **CLOCKS, connect=connect)


def real_transport(
    settings: WebhookSettings = LOCAL, *, ssl_context: ssl.SSLContext | None = None, **names: str
) -> WebhookTransport:
    """Over real sockets; names (with _ for .) resolve as given, all others do not."""

    def resolve(host: str, port: int) -> Sequence[SocketAddress]:
        if host.replace(".", "_") not in names:
            raise socket.gaierror
        return [(socket.AF_INET, (names[host.replace(".", "_")], port))]

    guard = AddressGuard(settings, lookups=Lookups(resolve))
    return WebhookTransport(settings, guard=guard, **CLOCKS, ssl_context=ssl_context)


def signature_of(request: Received, key: bytes) -> str:
    """What a receiver computes from what it got (Standard Webhooks 1.0)."""
    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}."
    digest = hmac.new(key, signed.encode() + request.body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()
