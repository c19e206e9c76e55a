"""Rates and connection counts, each with a bounded table (channels.md, section 15; SE-5)."""

import math
from collections.abc import Callable
from typing import Final

import attrs

from tocsin.model import errors
from tocsin.model.principal import Principal
from tocsin.server.peers import Networks, counted_as
from tocsin.server.settings import HttpLimits

BURST: Final = 3
CAPACITY: Final = 65_536


class Buckets:
    """A token bucket per key: `per_second`, and a burst of three seconds' worth.

    A bucket is one number, the time at which it would be full again (the generic cell rate
    algorithm). When the table is full the bucket unused for longest makes room: it is the one
    most likely full, and to forget a full bucket changes nothing.
    """

    def __init__(self, per_second: float, *, capacity: int = CAPACITY) -> None:
        self._cost = 1 / per_second if per_second else 0.0
        self._depth = max(BURST * per_second, 1) * self._cost
        self._capacity = capacity
        self._full_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: str, now: float, count: int = 1) -> float:
        """0 if one more fits, else the seconds until it would (and nothing is taken).

        `count` are taken where one fits, so that what is larger than any burst is let in and
        paid for afterwards.
        """
        if not self._cost:
            return 0.0
        wait = self.wait(key, now)
        full_at = max(self._full_at.pop(key, now), now)
        self._full_at[key] = full_at if wait else full_at + self._cost * count
        if len(self._full_at) > self._capacity:
            del self._full_at[next(iter(self._full_at))]
        return wait

    def wait(self, key: str, now: float) -> float:
        """Seconds until one more fits, 0 if it does; nothing is taken."""
        if not self._cost:
            return 0.0
        excess = max(self._full_at.get(key, now), now) + self._cost - now - self._depth
        # A rounding error must not cost the last of a burst.
        return excess if excess > 1e-9 else 0.0


@attrs.frozen
class Rate:
    """A rate that routes can declare by name: whose requests count together, and how many."""

    buckets: Buckets
    key: Callable[[Principal], str]

    def check(self, principal: Principal, now: float) -> None:
        """Raise 429 with `Retry-After` when this principal is over its rate."""
        wait = self.buckets.take(self.key(principal), now)
        if wait:
            raise errors.rate_limited(retry_after=math.ceil(wait))


def per_token(per_second: float) -> Rate:
    """`limits.rate`"""
    return Rate(Buckets(per_second), lambda principal: principal.token_id)


def per_producer(per_second: float) -> Rate:
    """`publish.rate`"""
    return Rate(Buckets(per_second), lambda principal: principal.producer)


class FailedAuthentications:
    """Who proved nothing too often, by address; whole seconds to wait, 0 for none."""

    def __init__(self, per_second: float, *, unlimited: Networks) -> None:
        self._buckets = Buckets(per_second)
        self._unlimited = unlimited

    def count(self, peer: str, now: float) -> None:
        """Note one failure; raise 429 with `Retry-After` when there were too many."""
        wait = self.add(peer, now)
        if wait:
            raise errors.rate_limited(retry_after=wait)

    def add(self, peer: str, now: float) -> int:
        """Note one failure; until when it is one too many."""
        return math.ceil(self._buckets.take(counted_as(peer), now)) if self._counts(peer) else 0

    def retry_after(self, peer: str, now: float) -> int:
        """Until when one more would be too many."""
        return math.ceil(self._buckets.wait(counted_as(peer), now)) if self._counts(peer) else 0

    def _counts(self, peer: str) -> bool:
        return bool(peer) and peer not in self._unlimited


@attrs.define
class ConnectionGate:
    """Counts open connections, in all and per address, and says who may come in.

    `exempt` are networks without a bound per address. `refused_full` and `refused_address` count
    those sent away.
    """

    limits: HttpLimits
    exempt: Networks
    open: int = 0
    refused_full: int = 0
    refused_address: int = 0
    _per_address: dict[str, int] = attrs.field(factory=dict)

    def reconfigure(self, limits: HttpLimits, exempt: Networks) -> None:
        """For connections that come from now on; those that are there count on."""
        self.limits, self.exempt = limits, exempt

    def admit(self, peer: str) -> "Lease | None":
        """A place for a connection from this address, or None: close it."""
        if self.open >= self.limits.http_connections:
            self.refused_full += 1
            return None
        key = "" if not peer or peer in self.exempt else counted_as(peer)
        taken = self._per_address.get(key, 0)
        if key and taken >= self.limits.connections_per_address:
            self.refused_address += 1
            return None
        self.open += 1
        if key:
            self._per_address[key] = taken + 1
        return Lease(self, key)

    def per_address(self, peer: str) -> int:
        """Connections counted for this address."""
        return self._per_address.get(counted_as(peer), 0)

    def leave(self) -> None:
        """One HTTP connection fewer."""
        self.open -= 1

    def leave_address(self, key: str) -> None:
        """One connection fewer of this address."""
        left = self._per_address.pop(key, 1) - 1
        if left:
            self._per_address[key] = left


@attrs.define
class Lease:
    """One connection's place in the counts."""

    _gate: ConnectionGate
    _key: str
    _in_http: bool = True
    _kept: bool = False

    def finish(self) -> None:
        """The HTTP connection is over: give back what nobody has kept."""
        self._leave_http()
        if not self._kept:
            self._leave_address()

    def lend(self) -> None:
        """The connection is out of HTTP until `take_back`, and still counts for its address."""
        self._leave_http()

    def take_back(self) -> None:
        """It is an HTTP connection again; the bound was for new ones."""
        if not self._in_http:
            self._in_http = True
            self._gate.open += 1

    def keep(self) -> Callable[[], None]:
        """The socket lives on elsewhere, and counts for its address until the result is called."""
        self._kept = True
        return self._leave_address

    def _leave_http(self) -> None:
        if self._in_http:
            self._in_http = False
            self._gate.leave()

    def _leave_address(self) -> None:
        if self._key:
            key, self._key = self._key, ""
            self._gate.leave_address(key)
