"""Lookups of names: those that hang take no thread from those that answer (delivery.md, isolation).

A lookup blocks a thread, for half a minute if the name's servers are silent, and cannot be
cancelled: the thread is taken until it returns, whoever still waits. So there are many of them,
and a host may take one only while few enough are taken by such as itself:

    standing   what is known of the host                       its share of the threads
    PROMPT     its last lookup came back within a second       all
    NEW        nothing                                         half, those of SLOW ones included
    SLOW       its last lookup took longer                     a quarter

A host has one lookup at a time, which all who ask for it share, and is judged by each. So however
many hosts fall silent, each of them costs the prompt ones one thread once. Who finds no thread
waits in the line of its standing, a little; what it waits for is ours, not its host's.
"""

import contextlib
import enum
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import attrs
import outcome
import trio

from tocsin.transports.notconnected import CannotResolveError, OwnLimitError
from tocsin.transports.patience import Patience

THREADS = 256
PROMPT_SECONDS = 1.0
REMEMBERED = 4_096
NO_THREAD = "lookups"

SocketAddress = tuple[int, tuple[Any, ...]]
Resolve = Callable[[str, int], Sequence[SocketAddress]]
Result = outcome.Outcome[Sequence[SocketAddress]]


class Spawn(Protocol):
    """Runs something in a thread (`trio.lowlevel.start_thread_soon`)."""

    def __call__(
        self,
        fn: Callable[[], Sequence[SocketAddress]],
        deliver: Callable[[Result], object],
        name: str | None = None,
    ) -> None:
        """`deliver` is called by the thread. RuntimeError when there can be no thread."""


def system_resolve(host: str, port: int) -> list[SocketAddress]:
    """What the system's resolver says: (family, socket address) pairs. Blocks, raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


class Standing(enum.IntEnum):
    """What is to be expected of a host's lookup; the more the later."""

    SLOW = 0
    NEW = 1
    PROMPT = 2


class Lookups:
    """Looks names up, each once at a time, in at most so many threads.

    A line is as long as there are callers who wait for different hosts; each leaves it after 5 s.
    """

    def __init__(
        self,
        resolve: Resolve = system_resolve,
        *,
        threads: int = THREADS,
        spawn: Spawn = trio.lowlevel.start_thread_soon,
    ) -> None:
        self._resolve = resolve
        self._spawn = spawn
        self._share = {
            Standing.SLOW: max(1, threads // 4),
            Standing.NEW: max(1, threads // 2),
            Standing.PROMPT: threads,
        }
        self._taken = dict.fromkeys(Standing, 0)
        self._lines: dict[Standing, dict[str, _Lookup]] = {one: {} for one in Standing}
        self._lookups: dict[str, _Lookup] = {}
        self._prompt = _Memory(REMEMBERED)
        self._slow = _Memory(REMEMBERED)

    async def find(self, host: str, port: int, patience: Patience) -> list[SocketAddress]:
        """The addresses of a host, each once, in the resolver's order.

        Raises CannotResolveError if it has none, OwnLimitError when there was no thread for it.
        Cancelled, it leaves a lookup that has begun behind, and one that has not to the others.
        """
        lookup = self._lookups.get(host)
        if lookup is None:
            lookup = self._lookups[host] = _Lookup(host, port, self._standing(host))
            self._lines[lookup.standing][host] = lookup
            self._serve()
        if not lookup.begun.is_set():
            await self._wait_turn(lookup, patience)
        await lookup.done.wait()
        return lookup.addresses(port)

    async def _wait_turn(self, lookup: "_Lookup", patience: Patience) -> None:
        lookup.waiting += 1
        try:
            with patience.waiting(NO_THREAD):
                await lookup.begun.wait()
        finally:
            lookup.waiting -= 1
            if not lookup.waiting and not lookup.begun.is_set():
                del self._lines[lookup.standing][lookup.host]
                del self._lookups[lookup.host]

    def _serve(self) -> None:
        """Give threads to those in line, who may have them; the more is expected, the sooner."""
        for standing in reversed(Standing):
            line = self._lines[standing]
            while line and self._has_room(standing):
                self._start(line.pop(next(iter(line))))

    def _has_room(self, standing: Standing) -> bool:
        if sum(self._taken.values()) >= self._share[Standing.PROMPT]:
            return False
        like_it = sum(taken for one, taken in self._taken.items() if one <= standing)
        return like_it < self._share[standing]

    def _start(self, lookup: "_Lookup") -> None:
        token = trio.lowlevel.current_trio_token()

        def deliver(result: Result) -> None:
            # Once the run is over nobody waits any more.
            with contextlib.suppress(trio.RunFinishedError):
                token.run_sync_soon(self._finish, lookup, result)

        lookup.began_at = trio.current_time()
        lookup.begun.set()
        try:
            self._spawn(partial(self._resolve, lookup.host, lookup.port), deliver, "resolver")
        except RuntimeError:
            self._end(lookup)
        else:
            self._taken[lookup.standing] += 1

    def _finish(self, lookup: "_Lookup", result: Result) -> None:
        self._taken[lookup.standing] -= 1
        is_prompt = trio.current_time() - lookup.began_at <= PROMPT_SECONDS
        now, before = (self._prompt, self._slow) if is_prompt else (self._slow, self._prompt)
        before.forget(lookup.host)
        now.note(lookup.host)
        lookup.result = result
        self._end(lookup)
        self._serve()

    def _end(self, lookup: "_Lookup") -> None:
        del self._lookups[lookup.host]
        lookup.done.set()

    def _standing(self, host: str) -> Standing:
        if host in self._slow:
            return Standing.SLOW
        return Standing.PROMPT if host in self._prompt else Standing.NEW


@attrs.define(eq=False)
class _Lookup:
    """One that waits for a thread or has one, and what came of it, for everybody who asked."""

    host: str
    port: int
    standing: Standing
    waiting: int = 0
    began_at: float = 0.0
    begun: trio.Event = attrs.field(factory=trio.Event)
    done: trio.Event = attrs.field(factory=trio.Event)
    result: Result | None = None

    def addresses(self, port: int) -> list[SocketAddress]:
        """What was found, for a port, each address once."""
        # Not `unwrap`: that works for one only.
        match self.result:
            case None:
                raise OwnLimitError(NO_THREAD)
            case outcome.Value(value=found) if found:
                return [self._at(port, *one) for one in dict.fromkeys(found)]
            case outcome.Error(error=error) if not isinstance(error, OSError | UnicodeError):
                raise error
        raise CannotResolveError

    def _at(self, port: int, family: int, address: tuple[Any, ...]) -> SocketAddress:
        if port != self.port:
            address = (address[0], port, *address[2:])
        return family, address


class _Memory:
    """The hosts that were noted last; the one noted longest ago makes room."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._hosts: dict[str, None] = {}

    def __contains__(self, host: str) -> bool:
        return host in self._hosts

    def note(self, host: str) -> None:
        """Remember it, as the latest."""
        self.forget(host)
        if len(self._hosts) >= self._size:
            del self._hosts[next(iter(self._hosts))]
        self._hosts[host] = None

    def forget(self, host: str) -> None:
        """It is no longer so."""
        self._hosts.pop(host, None)
