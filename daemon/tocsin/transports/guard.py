"""The guard before every connection to an address a user chose (SE-4, PU-71 to PU-74).

A name is resolved, every address it has is judged, and the caller connects to exactly these
addresses: nothing resolves again in between, so what DNS says later gains nothing.
"""

import ipaddress
import socket
from typing import Any

import trio

from tocsin.model.errors import unavailable
from tocsin.transports.lookups import NO_THREAD, Lookups, SocketAddress
from tocsin.transports.notconnected import BlockedAddressError, CannotResolveError, OwnLimitError
from tocsin.transports.patience import UNLIMITED, Patience
from tocsin.transports.settings import WebhookSettings
from tocsin.wire.addresses import is_forbidden, parse_networks
from tocsin.wire.endpoint import Endpoint, normal_host, parse_url

NO_THREAD_RETRY = 10


class AddressGuard:
    """Says where a webhook may be sent; `lookups` find out where that is."""

    def __init__(self, settings: WebhookSettings, *, lookups: Lookups | None = None) -> None:
        self.reconfigure(settings)
        self._lookups = Lookups() if lookups is None else lookups

    def reconfigure(self, settings: WebhookSettings) -> None:
        """Judge by these from now on, also where channels were judged by others."""
        self._allow = parse_networks(settings.allow_networks)
        self._deny = parse_networks(settings.deny_networks)
        self._allow_http = frozenset(normal_host(host) for host in settings.allow_http)
        self._judge_timeout = settings.connect_timeout

    def parse(self, url: str) -> Endpoint:
        """The endpoint of a URL whose form is acceptable; ValueError otherwise. Never waits."""
        return parse_url(url, allow_http=self._allow_http)

    async def judge(self, url: str) -> Endpoint:
        """The endpoint of a URL that a channel may have (CH-81).

        ValueError says why not: its form, a forbidden address, or none within connect_timeout.
        503 when we had no thread to find that out.
        """
        endpoint = self.parse(url)
        with trio.move_on_after(self._judge_timeout) as limit:
            try:
                await self.addresses(endpoint.host, endpoint.port, Patience(limit))
            except BlockedAddressError:
                raise ValueError("leads to an address that is not allowed") from None
            except CannotResolveError:
                raise ValueError("the host does not resolve") from None
            except OwnLimitError:
                raise unavailable(NO_THREAD, retry_after=NO_THREAD_RETRY) from None
            return endpoint
        raise ValueError("the host does not resolve in time")

    async def addresses(
        self, host: str, port: int, patience: Patience = UNLIMITED
    ) -> list[SocketAddress]:
        """Where to connect to reach this host, in the resolver's order; never empty.

        Raises BlockedAddressError if any of its addresses is forbidden, CannotResolveError if
        it has none, OwnLimitError if there was no thread to look.
        """
        literal = _literal(host, port)
        if literal is None:
            found = await self._lookups.find(host, port, patience)
        else:
            await trio.lowlevel.checkpoint()
            found = [literal]
        if any(self._is_forbidden(address) for _, address in found):
            raise BlockedAddressError
        return found

    def _is_forbidden(self, address: tuple[Any, ...]) -> bool:
        ip = ipaddress.ip_address(address[0])
        return is_forbidden(ip, allow=self._allow, deny=self._deny)


def _literal(host: str, port: int) -> SocketAddress | None:
    """The socket address of a host that is an IP address already."""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return None
    if ip.version == 4:
        return (socket.AF_INET, (host, port))
    return (socket.AF_INET6, (host, port, 0, 0))
