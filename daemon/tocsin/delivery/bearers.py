"""Live connections by what their tokens can be revoked by: the token, its user, its client.

Thousands of connections come and go between two revocations, so an entry costs three or four
looks into a dict when a connection begins and when it ends, and a connection that is the only one
of its token stands in the index by itself, without a set around it.
"""

import enum
from typing import Protocol

import trio

from tocsin.model.principal import Principal

SLICE = 200


class Kind(enum.Enum):
    """What tokens have in common that are revoked together."""

    TOKEN = "token"  # noqa: S105 - a word
    USER = "user"
    CLIENT = "client"


class Bearer(Protocol):
    """Something that lives by a token."""

    def token_revoked(self) -> None:
        """The token is void: begin to end. Must not wait; may be called when it has ended."""


class Bearers:
    """Who lives by which token."""

    def __init__(self) -> None:
        self._tokens = _Index()
        self._users = _Index()
        self._clients = _Index()

    def add(self, principal: Principal, bearer: Bearer) -> None:
        """From here on it hears of the token's end; `discard` it with the same principal."""
        self._tokens.add(principal.digest, bearer)
        if principal.token_id != principal.digest:
            self._tokens.add(principal.token_id, bearer)
        self._users.add(principal.user, bearer)
        self._clients.add(principal.producer, bearer)

    def discard(self, principal: Principal, bearer: Bearer) -> None:
        """It has ended, or is not to hear; no-op where it was not added."""
        self._tokens.discard(principal.digest, bearer)
        self._tokens.discard(principal.token_id, bearer)
        self._users.discard(principal.user, bearer)
        self._clients.discard(principal.producer, bearer)

    async def cut(self, kind: Kind, name: str) -> int:
        """Tell all that live by these tokens now; how many there were.

        In slices: ten thousand at once must not hold up everybody else. Cancelled, it leaves the
        rest untold.
        """
        index = {
            Kind.TOKEN: self._tokens,
            Kind.USER: self._users,
            Kind.CLIENT: self._clients,
        }[kind]
        found = index.of(name)
        for start in range(0, len(found), SLICE):
            for bearer in found[start : start + SLICE]:
                bearer.token_revoked()
            await trio.lowlevel.checkpoint()
        return len(found)


class _Index:
    def __init__(self) -> None:
        self._held: dict[str, Bearer | set[Bearer]] = {}

    def add(self, name: str, bearer: Bearer) -> None:
        held = self._held.setdefault(name, bearer)
        if isinstance(held, set):
            held.add(bearer)
        elif held is not bearer:
            self._held[name] = {held, bearer}

    def discard(self, name: str, bearer: Bearer) -> None:
        held = self._held.get(name)
        if isinstance(held, set):
            held.discard(bearer)
        if held is bearer or held == set():
            del self._held[name]

    def of(self, name: str) -> list[Bearer]:
        held = self._held.get(name)
        if held is None:
            return []
        return list(held) if isinstance(held, set) else [held]
