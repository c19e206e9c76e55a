"""Where the keys of tokens come from: the configuration and a file, or an address (CH-11, SE-1).

A `KeySource` has a `KeySet` at hand at every moment and can be asked for a newer one when a token
names a key that is not in it. `FixedKeys` never changes. `RemoteKeys` fetches a JWK set:

- at start, in the background, and again after 1, 2, 4 ... 60 s while that fails;
- every `auth.jwks_refresh` seconds, so that a withdrawn key is not trusted for ever;
- when asked, at most once in 60 s, whoever asks and however often.

All fetches are made by the one task in `RemoteKeys.run`, so there is never more than one at a
time and no caller that goes away takes one with it. The last good set stays through failures, but
what is not in it may be in a newer one then: who asks is told so, at the latest when the fetch
has been under way for PATIENCE, and everybody who comes after that at once.

Every fetch is counted. The log has a line where keys are other ones than before, where fetching
begins to fail, and where it works again.
"""

import math
import ssl
from pathlib import Path
from typing import Protocol

import attrs
import httpx
import structlog
import trio

from tocsin.model.errors import StartupError, TocsinError
from tocsin.ops.metrics import Metrics
from tocsin.ops.service import Progress
from tocsin.wire.jwk import Key, KeySet, public_keys

STEP_TIMEOUT = 10.0
FETCH_TIMEOUT = 15.0
PATIENCE = 2.0
REPLY_BYTES = 1024 * 1024
ASKED_GAP = 60.0
LONGEST_PAUSE = 60.0

log = structlog.get_logger(__name__)


class JwksError(TocsinError):
    """A key set could not be fetched; the message says why, without the address."""


class KeySource(Protocol):
    """The keys in use.

    `refresh` returns when a newer set has been tried for, or at once where that is pointless:
    whether those at hand are all there are, as far as can be known. It never raises, and
    cancelling it disturbs nobody else.
    """

    @property
    def keys(self) -> KeySet: ...

    async def refresh(self) -> bool: ...


@attrs.frozen
class FixedKeys:
    """Keys that stay as they are until the configuration is read again."""

    keys: KeySet

    async def refresh(self) -> bool:
        """There is nothing newer."""
        await trio.lowlevel.checkpoint()
        return True


def read_key_file(path: str) -> tuple[Key, ...]:
    """The keys of a JWK set in a file; `StartupError` if there are none."""
    try:
        return public_keys(Path(path).read_bytes())
    except OSError as error:
        raise StartupError(f"auth.jwks_file: {path}: {error.strerror}") from None
    except ValueError as error:
        raise StartupError(f"auth.jwks_file: {path}: {error}") from None


class RemoteKeys:
    """The keys of a JWK set at `url`, next to the shared secret if there is one."""

    def __init__(
        self,
        url: str,
        *,
        metrics: Metrics,
        secret: Key | None = None,
        refresh_every: float = 3600,
    ) -> None:
        self._url = url
        self._metrics = metrics
        self._refresh_every = refresh_every
        self._keys = KeySet(secret)
        self._failures = 0
        self._is_newest = False
        self._asked_at = -math.inf
        self._began = math.inf
        self._wanted = trio.Event()
        self._under_way = True  # the first fetch is as good as begun: `run` starts with it
        self._ended = trio.Event()

    @property
    def keys(self) -> KeySet:
        """The last good set; without public keys until there is one."""
        return self._keys

    @property
    def ready(self) -> bool:
        """Whether a set was ever fetched."""
        return bool(self._keys.public)

    async def refresh(self) -> bool:
        """Waits for the fetch under way, or for a new one if the last was asked for long ago;
        whether the last one worked, which one that takes too long has not."""
        if not self._under_way and not self._ask():
            await trio.lowlevel.checkpoint()
            return self._is_newest
        ended = self._ended
        with trio.move_on_at(min(self._began, trio.current_time()) + PATIENCE):
            await ended.wait()
        return self._is_newest

    async def run(self, progress: Progress) -> None:
        """Keeps the keys fresh, for ever: a supervised service, 60 s are a fair bound.

        It is ready at once: the daemon starts without keys, and answers 503 until it has some.
        """
        progress.ready()
        tls = await trio.to_thread.run_sync(ssl.create_default_context)
        while True:
            progress.beat()
            self._begin()
            self._wanted = trio.Event()
            try:
                self._renew(await fetch_keys(self._url, tls))
            except JwksError as error:
                self._note_failure(error)
            finally:
                self._end()
            progress.waiting("the next refresh")
            with trio.move_on_after(self._pause()):
                await self._wanted.wait()

    def _ask(self) -> bool:
        now = trio.current_time()
        if now - self._asked_at < ASKED_GAP:
            return False
        self._asked_at = now
        self._begin()
        self._wanted.set()
        return True

    def _begin(self) -> None:
        self._under_way = True
        self._is_newest = False
        self._began = trio.current_time()

    def _renew(self, public: tuple[Key, ...]) -> None:
        is_news = self._failures or public != self._keys.public
        self._keys = attrs.evolve(self._keys, public=public)
        self._failures = 0
        self._is_newest = True
        self._metrics.token_keys_fetches["fetched"].inc()
        self._metrics.token_keys_last_success.set_to_current_time()
        if is_news:
            log.info("jwks.refreshed", keys=[key.kid for key in public])

    def _note_failure(self, error: JwksError) -> None:
        """One line for an outage: it is tried again every minute at least."""
        self._metrics.token_keys_fetches["failed"].inc()
        if not self._failures:
            log.warning("jwks.refresh_failed", reason=str(error), has_keys=self.ready)
        self._failures += 1

    def _end(self) -> None:
        self._under_way = False
        self._ended.set()
        self._ended = trio.Event()

    def _pause(self) -> float:
        if not self._failures:
            return self._refresh_every
        return min(LONGEST_PAUSE, 2.0 ** min(self._failures - 1, 10))


async def fetch_keys(url: str, tls: ssl.SSLContext) -> tuple[Key, ...]:
    """One GET for a JWK set, without redirects or proxies; `JwksError` if that yields no keys."""
    try:
        return public_keys(await _document(url, tls))
    except httpx.HTTPError as error:
        raise JwksError(f"{type(error).__name__}: {error}") from None
    except ValueError as error:
        raise JwksError(str(error)) from None


async def _document(url: str, tls: ssl.SSLContext) -> bytes:
    """The body of the answer, as it is on the wire, so that no compression outgrows the bound.

    The client lives for this call only, so giving up in the middle leaves no pool behind.
    """
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    client = httpx.AsyncClient(
        verify=tls, trust_env=False, follow_redirects=False, timeout=STEP_TIMEOUT, headers=headers
    )
    body = bytearray()
    with trio.move_on_after(FETCH_TIMEOUT) as scope:
        async with client, client.stream("GET", url) as response:
            if response.status_code != httpx.codes.OK:
                raise JwksError(f"answered {response.status_code}")
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > REPLY_BYTES:
                    scope.cancel()  # leaving the loop would leave httpx's generators open
    if len(body) > REPLY_BYTES:
        raise JwksError(f"answered more than {REPLY_BYTES} bytes")
    if scope.cancelled_caught:
        raise JwksError(f"not complete within {FETCH_TIMEOUT:g} s")
    return bytes(body)
