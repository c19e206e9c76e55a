"""Live connections by what their tokens can be revoked by: the token, its user, its client, the
subscriber it speaks for.

Thousands of connections come and go between two revocations, so an entry costs four or five looks
into a dict when a connection begins and when it ends, and a connection that is the only one of its
token stands in the index by itself, without a set around it.
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
    SUBSCRIBER = "subscriber"


class Bearer(Protocol):
    """Something that lives by a token."""

    @property
    def principal(self) -> Principal:
        """Whom that token speaks for."""

    def token_revoked(self) -> None:
        """The token is void: begin to end. Must not wait; may be called when it has ended."""


class Bearers:
    """Who lives by which token."""

    def __init__(self) -> None:
        self._tokens = _Index()
        self._users = _Index()
        self._clients = _Index()
        self._subscribers = _Index()

    def add(self, bearer: Bearer) -> None:
        """From here on it hears of its token's end, until `discard`."""
        principal = bearer.principal
        self._tokens.add(principal.digest, bearer)
        if principal.token_id != principal.digest:
            self._tokens.add(principal.token_id, bearer)
        self._users.add(principal.user, bearer)
        self._clients.add(principal.producer, bearer)
        if principal.subscriber:
            self._subscribers.add(principal.subscriber, bearer)

    def discard(self, bearer: Bearer) -> None:
        """It has ended, or is not to hear; no-op where it was not added."""
        principal = bearer.principal
        self._tokens.discard(principal.digest, bearer)
        self._tokens.discard(principal.token_id, bearer)
        self._users.discard(principal.user, bearer)
        self._clients.discard(principal.producer, bearer)
        self._subscribers.discard(principal.subscriber, bearer)

    async def cut(self, kind: Kind, name: str, *, domain: str | None = None) -> int:
        """Tell all that live by these tokens now, or those of one domain; how many there were.

        In slices: ten thousand at once must not hold up everybody else. Cancelled, it leaves the
        rest untold.
        """
        index = {
            Kind.TOKEN: self._tokens,
            Kind.USER: self._users,
            Kind.CLIENT: self._clients,
            Kind.SUBSCRIBER: self._subscribers,
        }[kind]
        found = index.of(name)
        if domain is not None:
            found = [one for one in found if one.principal.domain == domain]
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
