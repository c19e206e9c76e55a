"""Addresses, networks, and whom to believe about them."""

import pytest

from tocsin.server.peers import Networks, Proxies, counted_as, normal_address


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:DB8::0:1", "2001:db8::1"),
    ],
)
def test_one_spelling(text: str, normal: str) -> None:
    """An address is compared in one spelling, mapped IPv4 as IPv4."""
    assert normal_address(text) == normal


def test_counting() -> None:
    """IPv6 counts by /64, IPv4 by address."""
    assert counted_as("2001:db8::1") == counted_as("2001:db8::ffff") != counted_as("2001:db8:0:1::")
    assert counted_as("192.0.2.1") != counted_as("192.0.2.2")


def test_networks() -> None:
    """Membership by network; `unix` is a member by name; garbage is a member of nothing."""
    networks = Networks(["10.0.0.0/8", "::1/128"])
    assert [peer in networks for peer in ("10.1.2.3", "::1", "11.0.0.1", "", "x")] == [
        *(True, True, False, False, False)
    ]
    assert "" in Networks(["unix"])
    with pytest.raises(ValueError, match="300"):
        Networks(["10.0.0.0/8", "300.0.0.0/8"])


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("192.0.2.1", {"x-forwarded-for": "203.0.113.1"}, "192.0.2.1"),
        ("10.0.0.1", {}, "10.0.0.1"),
        ("10.0.0.1", {"x-forwarded-for": "203.0.113.1"}, "203.0.113.1"),
        ("10.0.0.1", {"x-forwarded-for": "6.6.6.6, 203.0.113.1, 10.0.0.2"}, "203.0.113.1"),
        ("10.0.0.1", {"x-forwarded-for": "10.0.0.3,10.0.0.2"}, "10.0.0.3"),
        ("10.0.0.1", {"x-forwarded-for": "203.0.113.1, unknown"}, "10.0.0.1"),
        ("10.0.0.1", {"x-forwarded-for": "203.0.113.1:4711"}, "203.0.113.1"),
        ("10.0.0.1", {"forwarded": 'proto=https;For="[2001:DB8::1]:47";by=x'}, "2001:db8::1"),
        ("10.0.0.1", {"forwarded": "for=6.6.6.6, for=203.0.113.1"}, "203.0.113.1"),
        ("10.0.0.1", {"forwarded": "for=_hidden"}, "10.0.0.1"),
        ("10.0.0.1", {"forwarded": "for=6.6.6.6", "x-forwarded-for": "203.0.113.1"}, "203.0.113.1"),
        ("", {"x-forwarded-for": "203.0.113.1"}, "203.0.113.1"),
    ],
)
def test_forwarding(peer: str, headers: dict[str, str], client: str) -> None:
    """The last hop that is no proxy of ours is the client; what it wrote itself is ignored."""
    assert Proxies(Networks(["10.0.0.0/8", "unix"])).client(peer, headers) == client
