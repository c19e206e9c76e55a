"""Tests of the guard before every connection to an address a user chose."""

import socket
from collections.abc import Callable, Sequence

import pytest
import trio
import trio.testing
from tests.fakes.names import PUBLIC, VirtualNames

from tocsin.model.errors import RequestError
from tocsin.transports.guard import AddressGuard
from tocsin.transports.lookups import Lookups, SocketAddress
from tocsin.transports.notconnected import BlockedAddressError, CannotResolveError
from tocsin.transports.settings import WebhookSettings

PRIVATE, MAPPED = "10.0.0.1", "::ffff:127.0.0.1"


def resolver(*addresses: str) -> Callable[[str, int], Sequence[SocketAddress]]:
    def resolve(_host: str, port: int) -> list[SocketAddress]:
        return [
            (socket.AF_INET6, (ip, port, 0, 0)) if ":" in ip else (socket.AF_INET, (ip, port))
            for ip in addresses
        ]

    return resolve


def failing(error: Exception) -> Callable[[str, int], Sequence[SocketAddress]]:
    def resolve(_host: str, _port: int) -> list[SocketAddress]:
        raise error

    return resolve


async def test_a_name_becomes_its_checked_addresses() -> None:
    """PU-72: all addresses in the resolver's order, each once."""
    guard = AddressGuard(
        WebhookSettings(), lookups=Lookups(resolver(PUBLIC, "2606:4700::1", PUBLIC))
    )
    assert await guard.addresses("a.example", 443) == [
        (socket.AF_INET, (PUBLIC, 443)),
        (socket.AF_INET6, ("2606:4700::1", 443, 0, 0)),
    ]


@pytest.mark.parametrize(
    "addresses", [[PRIVATE], [PUBLIC, PRIVATE], [PRIVATE, PUBLIC], [PUBLIC, MAPPED]]
)
async def test_one_forbidden_address_spoils_the_name(addresses: list[str]) -> None:
    """CH-81, PU-72, SE-4: every address is judged, not the first."""
    guard = AddressGuard(WebhookSettings(), lookups=Lookups(resolver(*addresses)))
    with pytest.raises(BlockedAddressError):
        await guard.addresses("a.example", 443)


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "::1", "::ffff:7f00:1"])
async def test_literal_addresses_are_judged_without_the_resolver(host: str) -> None:
    """SE-4: a private IP in the URL is refused; nobody is asked what it resolves to."""
    guard = AddressGuard(WebhookSettings(), lookups=Lookups(resolver(PUBLIC)))
    with pytest.raises(BlockedAddressError):
        await guard.addresses(host, 443)


async def test_the_operator_makes_exceptions() -> None:
    """PU-73: allow_networks and deny_networks of the configuration hold."""
    settings = WebhookSettings(allow_networks=["10.0.0.0/8"], deny_networks=["1.0.0.0/8"])
    guard = AddressGuard(settings, lookups=Lookups(resolver(PUBLIC)))
    assert await guard.addresses("10.0.0.1", 80) == [(socket.AF_INET, ("10.0.0.1", 80))]
    with pytest.raises(BlockedAddressError):
        await guard.addresses("a.example", 443)


@pytest.mark.parametrize(
    "resolve",
    [resolver(), failing(socket.gaierror(socket.EAI_NONAME, "?")), failing(UnicodeError("label"))],
)
async def test_a_name_without_addresses(
    resolve: Callable[[str, int], Sequence[SocketAddress]],
) -> None:
    """CH-83: whatever the resolver fails with is one error."""
    with pytest.raises(CannotResolveError):
        await AddressGuard(WebhookSettings(), lookups=Lookups(resolve)).addresses("a.example", 443)


@pytest.mark.parametrize(
    ("url", "addresses", "reason"),
    [
        ("http://a.example/", [PUBLIC], "must be https"),
        ("https://127.1/", [PUBLIC], "four decimal numbers"),
        ("https://127.0.0.1/", [PUBLIC], "not allowed"),
        ("https://[::1]/", [PUBLIC], "not allowed"),
        ("https://a.example/", [PUBLIC, PRIVATE], "not allowed"),
        ("https://a.example/", [], "does not resolve"),
    ],
)
async def test_a_url_is_judged_at_creation(url: str, addresses: list[str], reason: str) -> None:
    """CH-81: the form, the addresses and whether there are any, each with its reason."""
    guard = AddressGuard(WebhookSettings(), lookups=Lookups(resolver(*addresses)))
    with pytest.raises(ValueError, match=reason):
        await guard.judge(url)


async def test_a_good_url_gives_its_endpoint() -> None:
    """CH-81: what may be called comes back taken apart; http for hosts of allow_http."""
    guard = AddressGuard(
        WebhookSettings(allow_http=["A.example"]), lookups=Lookups(resolver(PUBLIC))
    )
    assert (await guard.judge("https://b.example/x")).origin == "https://b.example:443"
    assert (await guard.judge("http://a.example/x")).origin == "http://a.example:80"


@pytest.fixture
def names(nursery: trio.Nursery) -> VirtualNames:
    return VirtualNames(nursery)


async def test_a_slow_name_is_refused_in_time(
    names: VirtualNames, autojump_clock: trio.testing.MockClock
) -> None:
    """CH-81: judging takes connect_timeout at most, though the lookup cannot be stopped."""
    names.takes["a.example"] = 30
    with pytest.raises(ValueError, match="in time"):
        await AddressGuard(WebhookSettings(), lookups=names.lookups()).judge("https://a.example/")
    assert trio.current_time() == pytest.approx(5)


async def test_a_url_is_not_refused_because_we_are_busy(
    names: VirtualNames, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """CH-81: 503 and not 400 when there was no thread to judge it; soon judged when there is."""
    names.takes["b.example"] = 30
    guard = AddressGuard(WebhookSettings(), lookups=names.lookups(threads=2))
    with trio.move_on_after(1):
        await guard.addresses("b.example", 443)
    with pytest.raises(RequestError) as refused:
        await guard.judge("https://a.example/")
    assert (refused.value.status, refused.value.label) == (503, "lookups")
    assert names.asked == ["b.example"]
    await trio.sleep(20)
    assert (await guard.judge("https://a.example/")).host == "a.example"
    assert trio.current_time() == pytest.approx(30, abs=0.1)
