"""What was submitted before is not sent again (channels.md, CH-114, CH-115).

A notification is known by its producer and the id its producer gave it; a whole request by its
producer, path and `Idempotency-Key`. The store keeps digests of both for a day, written in the
transaction that stores the notifications themselves.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import attrs
import trio

from tocsin.model.errors import RequestError, duplicate
from tocsin.model.notification import Notification
from tocsin.store.interface import Store
from tocsin.store.records import CLASH, Identity, StoredAnswer

DIGEST = 0x7FFF_FFFF_FFFF_FFFF


@attrs.frozen
class Accepted:
    """A notification goes to so many channels; `duplicate`: it did, the first time."""

    channels: int
    duplicate: bool = False


Verdict = Accepted | RequestError


@attrs.frozen
class Remembered:
    """The first answer to a request."""

    status: int
    body: bytes
    notification_id: str | None = None


@attrs.define(eq=False)
class Submission:
    """One request with an `Idempotency-Key`: answered before, or to be answered now.

    `render` makes the answer of the verdicts; it runs inside the commit, in the store's thread,
    and must be pure.
    """

    key: int
    proof: int
    content: int
    remembered: Remembered | None = None
    render: Callable[[Sequence[Verdict]], Remembered] | None = None


class Submissions:
    """Requests by their key; the second of two that run at once waits for the first."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._running: dict[tuple[int, int], trio.Event] = {}

    @asynccontextmanager
    async def claim(
        self, producer: str, path: str, key: str, body: bytes
    ) -> AsyncIterator[Submission]:
        """The request with this key: its first answer, or the right to make it.

        Raises 409 for a key that came with another body, `StoreError` when the store cannot be
        asked.
        """
        digests = _digests("request", producer, path, key)
        while (first := self._running.get(digests)) is not None:
            await first.wait()
        content = _digests(body)[0]
        self._running[digests] = done = trio.Event()
        try:
            found = await self._store.find_submission(*digests)
            if found is not None and found.content != content:
                raise duplicate(key, "Idempotency-Key")
            yield Submission(*digests, content, None if found is None else _remembered(found))
        finally:
            del self._running[digests]
            done.set()


def identity_of(notification: Notification) -> Identity | None:
    """What a notification is known by; None where its id is ours, which nobody repeats."""
    if not notification.is_named:
        return None
    key, proof = _digests("notification", notification.producer, notification.id)
    return Identity(key, proof, _digests(notification.user, notification.service)[0])


def verdict_on(notification: Notification, channels: int, repeat: int | None) -> Verdict:
    """What became of one notification; `repeat` as `Acceptance.repeats` has it."""
    if repeat is None:
        return Accepted(channels)
    if repeat == CLASH:
        return duplicate(notification.id, "id")
    return Accepted(repeat, duplicate=True)


def stored_answer(content: int, answer: Remembered) -> StoredAnswer | None:
    """An answer as the store keeps it; refusals are not kept (CH-114)."""
    if answer.status >= 300:
        return None
    return StoredAnswer(content, answer.status, answer.body, answer.notification_id)


def _remembered(found: StoredAnswer) -> Remembered:
    return Remembered(found.status, found.body, found.notification_id)


def _digests(*parts: str | bytes) -> tuple[int, int]:
    """Two independent digests of 63 bits; no two lists of parts have the same text."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        state.update(b"%d:" % len(raw))
        state.update(raw)
    digest = state.digest()
    return int.from_bytes(digest[:8]) & DIGEST, int.from_bytes(digest[8:]) & DIGEST
