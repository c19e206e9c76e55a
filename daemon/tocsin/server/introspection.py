"""Tokens that their issuer is asked about: RFC 7662, as a second kind of issuer (SE-1).

    ask(token) --first--> a place among `concurrency` --> POST --> active | not active | failed
        └──another for the same token: waits for the first one's answer

Whoever asks first does the asking. If that one is cancelled, one of those who wait takes over.
Nothing is kept here: who has a positive answer keeps it, and a failure is never kept.

Bounds: `concurrency` requests at once, MOST_ASKED tokens asked about or waiting for a place.
Full: 503 at once.
"""

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs
import httpx
import structlog
import trio

from tocsin.model.errors import TocsinError, unavailable
from tocsin.model.option import option
from tocsin.ops.metrics import Metrics
from tocsin.wire.introspection import answered, credentials, question

STEP_TIMEOUT = 5.0
ASK_TIMEOUT = 10.0
REPLY_BYTES = 1024 * 1024
MOST_ASKED = 1_000
RETRY = 5
LABEL = "introspection"

Claims = Mapping[str, Any]

log = structlog.get_logger(__name__)


@attrs.frozen
class IntrospectionSettings:
    """`[auth.introspection]`"""

    url: str | None = option(
        None,
        "Where tokens that are not signed are asked about (RFC 7662); not set, nowhere. Its "
        "answers may leave out issuer and audience; only what they say is compared with auth's.",
    )
    client_id: str | None = option(None, "Who asks there.")
    client_secret: str | None = option(None, "What it proves that by.", secret=True)
    introspect_jwt: bool = option(
        default=False, help="Ask about signed tokens, too; without keys of ours, always so."
    )
    cache: float = option(
        30, "Seconds for which an answer that a token is active counts.", minimum=0, maximum=30
    )
    concurrency: int = option(32, "Requests under way at once; others wait.", minimum=1)


def check(settings: IntrospectionSettings) -> list[str]:
    """What is wrong with these settings as a whole, one line each."""
    problems = []
    if settings.url is None and (settings.introspect_jwt or settings.client_id is not None):
        problems.append("auth.introspection.url: must be set next to the other options")
    if settings.url is not None and not is_address(settings.url):
        problems.append("auth.introspection.url: must be an http or https address")
    if (settings.client_id is None) is not (settings.client_secret is None):
        problems.append("auth.introspection.client_secret: goes with client_id, both or none")
    return problems


def is_address(url: str) -> bool:
    """Whether this is something httpx can be sent to."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


class IntrospectionError(TocsinError):
    """A token could not be asked about; the message says why, without the address."""


class _Asking:
    """One token being asked about. `told`: there is an answer, or there will be none."""

    def __init__(self) -> None:
        self.ended = trio.Event()
        self.told = False
        self.failed = False
        self.claims: Claims | None = None

    def read(self) -> "Claims | None":
        """The answer; raises 503 if there is none."""
        if self.failed:
            raise unavailable(LABEL, retry_after=RETRY)
        return self.claims


class Introspector:
    """Asks about tokens, each one once at a time."""

    def __init__(self, settings: IntrospectionSettings, *, metrics: Metrics) -> None:
        """The settings must have an address and have passed `check`."""
        self._url = settings.url or ""
        self._headers = _headers(settings)
        self._metrics = metrics
        self._places = trio.CapacityLimiter(settings.concurrency)
        self._askings: dict[str, _Asking] = {}
        self._tls: ssl.SSLContext | None = None
        self._is_failing = False

    async def ask(self, token: str) -> Claims | None:
        """What its issuer says of an active token; None: it is not active.

        Raises 503 `introspection` if nobody can be asked. Cancelled, it takes nobody along.
        """
        while (asking := self._askings.get(token)) is not None:
            await asking.ended.wait()
            if asking.told:
                return asking.read()
        if len(self._askings) >= MOST_ASKED:
            self._metrics.introspections["full"].inc()
            raise unavailable(LABEL, retry_after=RETRY)
        return await self._lead(token)

    async def _lead(self, token: str) -> Claims | None:
        asking = self._askings[token] = _Asking()
        try:
            asking.claims = await self._asked(token)
            asking.told = True
        except IntrospectionError as error:
            asking.told = asking.failed = True
            self._note_failure(error)
        finally:
            del self._askings[token]
            asking.ended.set()
        if not asking.failed:
            self._note_answer(is_active=asking.claims is not None)
        return asking.read()

    async def _asked(self, token: str) -> Claims | None:
        try:
            with trio.move_on_after(ASK_TIMEOUT):
                async with self._places:
                    return answered(await self._post(token))
        except httpx.HTTPError as error:
            raise IntrospectionError(type(error).__name__) from None
        except ValueError as error:
            raise IntrospectionError(str(error)) from None
        raise IntrospectionError(f"not complete within {ASK_TIMEOUT:g} s")

    async def _post(self, token: str) -> bytes:
        """The body of the answer, as it is on the wire, so that no compression outgrows the bound.

        The client lives for this call only, so giving up in the middle leaves no pool behind
        (push.md, PU-82).
        """
        if self._tls is None:
            self._tls = await trio.to_thread.run_sync(ssl.create_default_context)
        client = httpx.AsyncClient(
            verify=self._tls,
            trust_env=False,
            follow_redirects=False,
            timeout=STEP_TIMEOUT,
            headers=self._headers,
        )
        body = bytearray()
        with trio.CancelScope() as scope:
            async with client, client.stream("POST", self._url, data=question(token)) as response:
                if response.status_code != httpx.codes.OK:
                    raise IntrospectionError(f"answered {response.status_code}")
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > REPLY_BYTES:
                        scope.cancel()  # leaving the loop would leave httpx's generators open
        if len(body) > REPLY_BYTES:
            raise IntrospectionError(f"answered more than {REPLY_BYTES} bytes")
        return bytes(body)

    def _note_answer(self, *, is_active: bool) -> None:
        self._metrics.introspections["active" if is_active else "inactive"].inc()
        if self._is_failing:
            self._is_failing = False
            log.info("introspection.working")

    def _note_failure(self, error: IntrospectionError) -> None:
        """One line for an outage: each refused request has its own."""
        self._metrics.introspections["failed"].inc()
        if not self._is_failing:
            self._is_failing = True
            log.warning("introspection.failing", reason=str(error))


def _headers(settings: IntrospectionSettings) -> dict[str, str]:
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    if settings.client_id is not None:
        headers["authorization"] = credentials(settings.client_id, settings.client_secret or "")
    return headers
