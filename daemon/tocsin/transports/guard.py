"""The guard before every connection to an address a user chose (SE-4, PU-71 to PU-74).

A name is resolved, every address it has is judged, and the caller connects to exactly these
addresses: nothing resolves again in between, so what DNS says later gains nothing.
"""

import contextlib
import ipaddress
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import attrs
import outcome
import trio

from tocsin.model.errors import TocsinError
from tocsin.transports.settings import WebhookSettings
from tocsin.wire.addresses import is_forbidden, parse_networks
from tocsin.wire.endpoint import Endpoint, normal_host, parse_url

LOOKUPS = 64

SocketAddress = tuple[int, tuple[Any, ...]]
Resolve = Callable[[str, int], Sequence[SocketAddress]]
_Result = outcome.Outcome[Sequence[SocketAddress]]


class NotConnectedError(TocsinError):
    """No connection, so nothing was sent; `reason` is a word of a closed set.

    `dns`, `blocked_address`, `connect`, `tls` or `timeout`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CannotResolveError(NotConnectedError):
    """The name has no address, as far as could be found out."""

    def __init__(self) -> None:
        super().__init__("dns")


class BlockedAddressError(NotConnectedError):
    """One of the addresses is forbidden, and so the name is."""

    def __init__(self) -> None:
        super().__init__("blocked_address")


def system_resolve(host: str, port: int) -> list[SocketAddress]:
    """What the system's resolver says: (family, socket address) pairs. Blocks, raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


class AddressGuard:
    """Says where a webhook may be sent.

    A lookup cannot be cancelled, so it belongs to nobody: at most one is under way per host,
    whoever waits shares it, and a cancelled waiter leaves it behind. At most 64 run at once;
    further ones wait, within their caller's deadline.
    """

    def __init__(
        self, settings: WebhookSettings, *, resolve: Resolve = system_resolve, lookups: int = 64
    ) -> None:
        self._allow = parse_networks(settings.allow_networks)
        self._deny = parse_networks(settings.deny_networks)
        self._allow_http = frozenset(normal_host(host) for host in settings.allow_http)
        self._judge_timeout = settings.connect_timeout
        self._resolve = resolve
        self._room = trio.Semaphore(lookups)
        self._lookups: dict[tuple[str, int], _Lookup] = {}

    def parse(self, url: str) -> Endpoint:
        """The endpoint of a URL whose form is acceptable; ValueError otherwise. Never waits."""
        return parse_url(url, allow_http=self._allow_http)

    async def judge(self, url: str) -> Endpoint:
        """The endpoint of a URL that a channel may have (CH-81).

        ValueError says why not: its form, a forbidden address, or none within connect_timeout.
        """
        endpoint = self.parse(url)
        with trio.move_on_after(self._judge_timeout):
            try:
                await self.addresses(endpoint.host, endpoint.port)
            except BlockedAddressError:
                raise ValueError("leads to an address that is not allowed") from None
            except CannotResolveError:
                raise ValueError("the host does not resolve") from None
            return endpoint
        raise ValueError("the host does not resolve in time")

    async def addresses(self, host: str, port: int) -> list[SocketAddress]:
        """Where to connect to reach this host, in the resolver's order; never empty.

        Raises BlockedAddressError if any of its addresses is forbidden, CannotResolveError if
        it has none.
        """
        literal = _literal(host, port)
        if literal is not None:
            await trio.lowlevel.checkpoint()
            found = [literal]
        else:
            found = await self._look_up(host, port)
        if not found:
            raise CannotResolveError
        if any(self._is_forbidden(address) for _, address in found):
            raise BlockedAddressError
        return found

    def _is_forbidden(self, address: tuple[Any, ...]) -> bool:
        ip = ipaddress.ip_address(address[0])
        return is_forbidden(ip, allow=self._allow, deny=self._deny)

    async def _look_up(self, host: str, port: int) -> list[SocketAddress]:
        key = (host, port)
        if key not in self._lookups:
            await self._room.acquire()
            self._start(key)
        lookup = self._lookups[key]
        await lookup.done.wait()
        return lookup.addresses()

    def _start(self, key: tuple[str, int]) -> None:
        """Start a lookup in the room just acquired; give it back if another was faster."""
        if key in self._lookups:
            self._room.release()
            return
        token = trio.lowlevel.current_trio_token()

        def deliver(result: _Result) -> None:
            # Once the run is over nobody waits any more.
            with contextlib.suppress(trio.RunFinishedError):
                token.run_sync_soon(self._finish, key, result)

        try:
            trio.lowlevel.start_thread_soon(partial(self._resolve, *key), deliver, "resolver")
        except RuntimeError:
            self._room.release()
            raise CannotResolveError from None
        self._lookups[key] = _Lookup()

    def _finish(self, key: tuple[str, int], result: _Result) -> None:
        self._room.release()
        lookup = self._lookups.pop(key)
        lookup.result = result
        lookup.done.set()


@attrs.define(eq=False)
class _Lookup:
    """A lookup under way, and what came of it, for everybody who waits for it."""

    done: trio.Event = attrs.field(factory=trio.Event)
    result: _Result | None = None

    def addresses(self) -> list[SocketAddress]:
        """What was found, each address once."""
        # Not `unwrap`: that works for one only.
        match self.result:
            case outcome.Value(value=found):
                return list(dict.fromkeys(found))
            case outcome.Error(error=error) if not isinstance(error, OSError | UnicodeError):
                raise error
        raise CannotResolveError


def _literal(host: str, port: int) -> SocketAddress | None:
    """The socket address of a host that is an IP address already."""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return None
    if ip.version == 4:
        return (socket.AF_INET, (host, port))
    return (socket.AF_INET6, (host, port, 0, 0))
