"""tocsin.transports.webhook: whose secret signs, and channels that change."""

import attrs
import pytest
import trio
import trio.testing
from tests.fakes.memory_connection import MemoryDialler
from tests.fakes.webhooks import (
    CLOCKS,
    KEY,
    LOCAL,
    NOW,
    OTHER_KEY,
    OTHER_SECRET,
    SECRET,
    THIRD_KEY,
    THIRD_SECRET,
    channel,
    delivery_to,
    signature_of,
    transport_over,
)

from tocsin.model.channel import Webhook
from tocsin.model.outcome import Deferred, Sign
from tocsin.transports.guard import AddressGuard
from tocsin.transports.webhook import WebhookTransport


async def test_whose_secret_signs(nursery: trio.Nursery) -> None:
    """PU-76: the channel's, else the configured one, else id and timestamp go unsigned."""
    dialler = MemoryDialler(nursery)
    settings = attrs.evolve(LOCAL, signing_secret=OTHER_SECRET)
    plain, own = (channel("https://a.example/"), channel("https://a.example/", secret=SECRET))
    for transport in (transport_over(dialler), transport_over(dialler, settings)):
        for hook in (plain, own):
            await transport.attempt(delivery_to(hook))
    unsigned, *signed = dialler.receiver.requests
    assert "webhook-signature" not in unsigned.headers
    assert unsigned.headers["webhook-timestamp"] == "1700000000"
    for request, key in zip(signed, (KEY, OTHER_KEY, KEY), strict=True):
        assert request.headers["webhook-signature"] == signature_of(request, key)


async def test_two_secrets_sign_while_one_is_being_rotated(nursery: trio.Nursery) -> None:
    """PU-77: the new one's signature first; after the grace it signs alone."""
    clock = [NOW]
    dialler = MemoryDialler(nursery)
    settings = attrs.evolve(LOCAL, signing_secret=THIRD_SECRET)
    clocks = {**CLOCKS, "wall": lambda: clock[0]}
    transport = WebhookTransport(settings, guard=AddressGuard(settings), connect=dialler, **clocks)
    hook = channel("https://a.example/", secret=SECRET)
    assert hook.webhook is not None
    rotated = hook.webhook.rotated(OTHER_SECRET, until=NOW + 1)
    first_own = attrs.evolve(hook.webhook, secret=None).rotated(SECRET, until=NOW + 1)
    for now, webhook in [(NOW, rotated), (NOW + 1, rotated), (NOW, first_own)]:
        clock[0], hook.webhook = now, webhook
        await transport.attempt(delivery_to(hook))
    for request, keys in zip(
        dialler.receiver.requests,
        [(OTHER_KEY, KEY), (OTHER_KEY,), (KEY, THIRD_KEY)],
        strict=True,
    ):
        expected = " ".join(signature_of(request, key) for key in keys)
        assert request.headers["webhook-signature"] == expected


async def test_the_configured_secret_is_rotated_by_a_reload(nursery: trio.Nursery) -> None:
    """PU-77: both sign for the grace, the new one first; a channel's own secret signs alone. A
    reload that changes nothing of it, or takes it away, begins no grace."""
    clock = [NOW]
    dialler = MemoryDialler(nursery)
    settings = attrs.evolve(LOCAL, signing_secret=SECRET, rotation_grace=60)
    clocks = {**CLOCKS, "wall": lambda: clock[0]}
    transport = WebhookTransport(settings, guard=AddressGuard(settings), connect=dialler, **clocks)
    plain, own = (
        channel("https://a.example/"),
        channel("https://b.example/", secret=THIRD_SECRET),
    )
    rotated = attrs.evolve(settings, signing_secret=OTHER_SECRET)
    for at, wanted, hook in (
        (NOW, settings, plain),
        (NOW, rotated, plain),
        (NOW, rotated, own),
        (NOW + 59_999, rotated, plain),
        (NOW + 60_000, rotated, plain),
        (NOW + 60_001, attrs.evolve(settings, signing_secret=None), plain),
    ):
        clock[0] = at
        transport.reconfigure(wanted)
        await transport.attempt(delivery_to(hook))
    for request, keys in zip(
        dialler.receiver.requests,
        [(KEY,), (OTHER_KEY, KEY), (THIRD_KEY,), (OTHER_KEY, KEY), (OTHER_KEY,), ()],
        strict=True,
    ):
        expected = " ".join(signature_of(request, key) for key in keys)
        assert request.headers.get("webhook-signature", "") == expected


async def test_a_changed_channel_is_read_again(nursery: trio.Nursery) -> None:
    """CH-80: what was prepared for a channel is only used while its webhook is the same."""
    dialler = MemoryDialler(nursery)
    transport = transport_over(dialler)
    hook = channel("https://a.example/one")
    await transport.attempt(delivery_to(hook))
    hook.webhook = Webhook("https://a.example/two", "origin", authorization="new")
    await transport.attempt(delivery_to(hook))
    assert [request.target for request in dialler.receiver.requests] == ["/one", "/two"]
    assert dialler.receiver.requests[1].headers["authorization"] == "new"


@pytest.mark.parametrize(
    "webhook",
    [
        None,
        Webhook("http://no-longer-allowed.example/", "origin"),
        Webhook("https://a.example/", "origin", authorization="a\r\nb"),
        Webhook("https://a.example/", "origin", secret="whsec_short"),
    ],
)
async def test_a_channel_that_has_become_unusable(
    nursery: trio.Nursery, webhook: Webhook | None
) -> None:
    """CH-83: a reload may forbid what a channel has; its deliveries wait for better times."""
    dialler = MemoryDialler(nursery)
    hook = channel("https://a.example/")
    hook.webhook = webhook
    assert await transport_over(dialler).attempt(delivery_to(hook)) == Deferred(
        "bad_channel", sign=Sign.NOTHING
    )
    assert not dialler.made
