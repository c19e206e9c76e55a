"""A webhook on the wire: one signed request, and what its answer means.

channels.md CH-82 and CH-83, push.md PU-70 and PU-75 to PU-81; signatures after Standard Webhooks
1.0. The part of the head that is the same for every request of a channel is rendered and validated
once, in `RequestTemplate`.
"""

import hmac
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from hashlib import sha256

import attrs

from tocsin.model.outcome import NO_WORDS, Deferred, Delivered, Gone, Outcome, Refused, Sign, Word
from tocsin.wire.endpoint import Endpoint
from tocsin.wire.retryafter import DAY, retry_after

SECRET_PREFIX = "whsec_"  # noqa: S105 - it only marks one
_AUTHORIZATION = re.compile(r"[ -~]{1,4096}")
# Visible ASCII without the dot, which separates the parts of what is signed.
_PLAIN_ID = re.compile(r"[!-\-/-~]+")
_THROTTLES = frozenset({429, 502, 503, 504})
_HOLDS = frozenset({429, 503})


def webhook_id(notification_id: str) -> str:
    """The `webhook-id` of a notification, the same in every attempt and replay (CH-82).

    The id itself unless it has a dot or could not stand in a header: then a digest of it.
    """
    if _PLAIN_ID.fullmatch(notification_id):
        return notification_id
    digest = sha256(notification_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"h-{digest[:40]}"


class Signer:
    """Signs with one `whsec_` secret; ValueError if that is none (the text never shows it)."""

    __slots__ = ("_key",)

    def __init__(self, secret: str) -> None:
        self._key = _decoded(secret)

    def sign(self, content: bytes) -> bytes:
        """One signature of `id.timestamp.body`, as it stands in `webhook-signature`."""
        return b"v1," + b64encode(hmac.digest(self._key, content, "sha256"))


def secret_problem(secret: str) -> str | None:
    """What is wrong with a signing secret, in words for the operator, or None."""
    try:
        _decoded(secret)
    except ValueError as error:
        return str(error)
    return None


def _decoded(secret: str) -> bytes:
    problem = "must be whsec_ and base64 of 24 to 64 bytes"
    if not secret.startswith(SECRET_PREFIX):
        raise ValueError(problem)
    try:
        key = b64decode(secret[len(SECRET_PREFIX) :], validate=True)
    except (Base64Error, ValueError):
        raise ValueError(problem) from None
    if not 24 <= len(key) <= 64:
        raise ValueError(problem)
    return key


def authorization_problem(value: str) -> str | None:
    """What is wrong with an `x-authorization`, or None (CH-31)."""
    if _AUTHORIZATION.fullmatch(value):
        return None
    return "must be 1 to 4096 visible ASCII characters or spaces"


@attrs.frozen
class RequestTemplate:
    """Everything about the requests to one channel that does not change between them."""

    head: bytes = attrs.field(repr=False)
    signers: tuple[Signer, ...]

    @classmethod
    def of(
        cls,
        endpoint: Endpoint,
        *,
        user_agent: str,
        authorization: str | None = None,
        signers: Sequence[Signer] = (),
    ) -> "RequestTemplate":
        """`signers` in the order of their signatures: while a secret is being rotated, the new one
        first (PU-77). ValueError if the authorization could not stand in a header."""
        lines = [
            f"POST {endpoint.target} HTTP/1.1",
            f"Host: {endpoint.host_header}",
            f"User-Agent: {user_agent}",
            "Accept-Encoding: identity",
            "Content-Type: application/json",
        ]
        if authorization is not None:
            if problem := authorization_problem(authorization):
                raise ValueError(problem)
            lines.append(f"Authorization: {authorization}")
        return cls("\r\n".join(lines).encode("ascii"), tuple(signers))

    def render(self, *, notification_id: str, timestamp: int, body: bytes) -> bytes:
        """Head and body of one attempt, to be written as they are.

        `timestamp` is this attempt's, in epoch seconds.
        """
        named = webhook_id(notification_id).encode("ascii")
        signature = b""
        if self.signers:
            content = b"%b.%d.%b" % (named, timestamp, body)
            signed = b" ".join([signer.sign(content) for signer in self.signers])
            signature = b"\r\nwebhook-signature: " + signed
        return (
            b"%b\r\nContent-Length: %d\r\nwebhook-id: %b\r\nwebhook-timestamp: %d%b\r\n\r\n%b"
            % (
                self.head,
                len(body),
                named,
                timestamp,
                signature,
                body,
            )
        )


def outcome(
    status: int,
    headers: Mapping[bytes, bytes],
    *,
    now: int,
    retry_after_max: float = DAY,
    excerpt: bytes = b"",
) -> Outcome:
    """What an answer comes to (CH-83, PU-79 to PU-81).

    `headers` by lower-case name; `now` is epoch milliseconds; `excerpt` is passed on.
    """
    control = headers.get(b"webhook-delivery")
    if control is None and 200 <= status <= 299:
        return Delivered(status, excerpt=excerpt)
    wait = _wait(headers.get(b"retry-after"), now, retry_after_max)
    asked = _asked(control)
    words = _words(status, asked, waits=wait is not None)
    if 200 <= status <= 299:
        return Delivered(status, words, excerpt)
    if b"abort-message" in asked:
        return Refused("receiver_abort", status, words=words, excerpt=excerpt)
    if status == 410:
        return Gone("http_410", status, words, excerpt)
    # Being asked for patience is contact (PU-52): it narrows the lane and does not break it.
    sign = Sign.CONTACT if status == 429 else Sign.FAILURE
    return Deferred(_reason(status), wait, status, sign=sign, words=words, excerpt=excerpt)


def _wait(value: bytes | None, now: int, maximum: float) -> float | None:
    return None if value is None else retry_after(value.decode("latin-1"), now, maximum=maximum)


def _asked(control: bytes | None) -> set[bytes]:
    """The words of a `webhook-delivery` header (PU-80); whoever asks knows which it looks for."""
    return set() if control is None else {word.strip() for word in control.lower().split(b",")}


def _words(status: int, asked: set[bytes], *, waits: bool) -> frozenset[Word]:
    words = set()
    if b"disable" in asked or (status == 410 and b"abort-message" in asked):
        words.add(Word.SUSPEND)
    if status in _THROTTLES:
        words.add(Word.THROTTLE)
    if status in _HOLDS and waits:
        words.add(Word.HOLD)
    return frozenset(words) if words else NO_WORDS


def _reason(status: int) -> str:
    """A word for a status, from a closed set."""
    if status in {408, 425, 429}:
        return f"http_{status}"
    if 300 <= status <= 599:
        return f"http_{status // 100}xx"
    return "http_other"
