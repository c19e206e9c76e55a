"""Who is at the other end: addresses, networks, and what trusted proxies say (OP-9, SE-5)."""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

UNIX: Final = "unix"
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Networks:
    """A set of networks; the word `unix` stands for every peer on a Unix socket.

    Raises ValueError naming the entry that is no network.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        entries = list(networks)
        self._unix = UNIX in entries
        self._networks = [_network(entry) for entry in entries if entry != UNIX]

    def __contains__(self, peer: object) -> bool:
        """Whether a peer ("" on a Unix socket) belongs to one of the networks."""
        if not peer:
            return self._unix
        address = parse_ip(str(peer))
        return address is not None and any(address in network for network in self._networks)


class Proxies:
    """The proxies whose word about the client's address counts."""

    def __init__(self, trusted: Networks) -> None:
        self._trusted = trusted

    def client(self, peer: str, headers: Mapping[str, str]) -> str:
        """The client's address: the last hop that is not one of ours.

        `X-Forwarded-For` is preferred over `Forwarded`, since a proxy that writes one of them
        passes the other one through as the client sent it, and most write the former.
        """
        if "x-forwarded-for" not in headers and "forwarded" not in headers:
            return peer
        return self._last_known(peer, _hops(headers))[0]

    def __contains__(self, peer: object) -> bool:
        """Whether this is one of them."""
        return peer in self._trusted

    def named(self, peer: str, headers: Mapping[str, str]) -> str | None:
        """The client's address, `X-Real-IP` believed as well where it stands alone; None where
        one of the proxies has written down no address."""
        real = headers.get("x-real-ip")
        hops = _hops(headers) if real is None else [real.strip()]
        client, is_certain = self._last_known(peer, hops)
        return client if is_certain else None

    def _last_known(self, peer: str, hops: Sequence[str]) -> tuple[str, bool]:
        """The last hop that is not one of ours; or the last before one that is no address."""
        for hop in reversed(hops):
            if peer not in self._trusted:
                break
            address = parse_ip(hop)
            if address is None:
                return peer, False
            peer = str(address)
        return peer, True


@lru_cache(maxsize=4096)
def parse_ip(text: str) -> _Address | None:
    """An address without port or scope; an IPv4 address mapped into IPv6 is the IPv4 address."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def normal_address(text: str) -> str:
    """An address in the one spelling that is compared, counted and logged."""
    return str(parse_ip(text) or text)


@lru_cache(maxsize=4096)
def counted_as(peer: str) -> str:
    """What connections and failures of a peer are counted under: IPv6 by /64."""
    address = parse_ip(peer)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
    return peer


def _network(entry: str) -> _Network:
    try:
        return ipaddress.ip_network(entry)
    except ValueError as error:
        raise ValueError(f'"{entry}" is no network: {error}') from None


def _hops(headers: Mapping[str, str]) -> list[str]:
    """The addresses the proxies wrote down, in the order they were added."""
    listed = headers.get("x-forwarded-for")
    if listed is not None:
        return [_bare(hop) for hop in listed.split(",")]
    return [_bare(_for(element)) for element in headers.get("forwarded", "").split(",")]


def _for(element: str) -> str:
    """The `for` of one element of a Forwarded header (RFC 7239, 4)."""
    for pair in element.split(";"):
        name, _, value = pair.partition("=")
        if name.strip().lower() == "for":
            return value
    return ""


def _bare(hop: str) -> str:
    """A node without quotes, brackets and port."""
    hop = hop.strip().strip('"')
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
