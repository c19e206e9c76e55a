"""Who may use a service: the hook it asks, and what the usual hooks share (messaging.md, 3)."""

import hashlib
from collections.abc import Hashable
from typing import Final, Protocol
from urllib.parse import unquote

import orjson

from tocsin.model.errors import RequestError, unauthorized
from tocsin.wire.request import Request

PARAMETER: Final = "access_token"
CODES: Final = {
    400: ("bad-request", "The token must be in one place."),
    401: ("unauthorized", "A valid token is needed."),
    403: ("forbidden", "This token may not do that."),
    429: ("rate-limited", "Too many failed attempts."),
    503: ("unavailable", "Tokens cannot be checked now."),
}


class Guard(Protocol):
    """What a guarded service asks about `/info`, sessions and WebSockets (SJ-4)."""

    def key(self, request: Request) -> Hashable:
        """What the request shows of itself, unverified: a session answers only to requests with
        the key of the one that opened it. No secret; without waiting."""

    async def authorise(self, request: Request) -> object:
        """The principal for the application; opaque to the service.

        Raises RequestError: status and headers are what the client is told. Safe to cancel.
        """


def presented_token(request: Request) -> str | None:
    """The token a request brings as a header or as `access_token` of its query (MS-4).

    Raises 400 `invalid_request` for more than one.
    """
    scheme, _, rest = request.headers.get("authorization", "").strip().partition(" ")
    found = [rest.strip()] if scheme.lower() == "bearer" else []
    for pair in request.target.partition("?")[2].split("&"):
        name, _, value = pair.partition("=")
        if unquote(name) == PARAMETER:
            found.append(unquote(value))
    if len(found) > 1:
        raise RequestError(
            400,
            "SVC0002",
            PARAMETER,
            label="invalid_value",
            headers=[("WWW-Authenticate", 'Bearer error="invalid_request"')],
        )
    return found[0] if found else None


def wanted_token(request: Request) -> str:
    """The same, where there must be one: else 401 without a reason."""
    token = presented_token(request)
    if token is None:
        raise unauthorized("token_missing")
    return token


def token_key(request: Request) -> Hashable:
    """A digest of the token (MS-8); None where there is none that could be judged."""
    try:
        token = presented_token(request)
    except RequestError:
        return None
    return None if token is None else hashlib.sha256(token.encode(errors="replace")).digest()


def refusal_body(error: RequestError) -> bytes:
    """What a page can read of a refusal (MS-6)."""
    code, text = CODES.get(error.status, ("unavailable", "Refused."))
    return orjson.dumps({"error": {"code": code, "text": text}})
