"""Who may use a service: the hook it asks, and what the usual hooks share (messaging.md, 3)."""

import hashlib
from collections.abc import Hashable
from typing import Final, Protocol
from urllib.parse import unquote

from tocsin.wire.messaging.refusals import NO_TOKEN, TOKEN_TWICE, RestError
from tocsin.wire.request import Request, are_repeated

PARAMETER: Final = "access_token"


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
    credentials = request.headers.get("authorization", "").strip()
    if are_repeated(credentials):
        raise TOKEN_TWICE.refused()
    scheme, _, rest = credentials.partition(" ")
    found = [rest.strip()] if scheme.lower() == "bearer" else []
    for pair in request.target.partition("?")[2].split("&"):
        name, _, value = pair.partition("=")
        if unquote(name) == PARAMETER:
            found.append(unquote(value))
    if len(found) > 1:
        raise TOKEN_TWICE.refused()
    return found[0] if found else None


def wanted_token(request: Request) -> str:
    """The same, where there must be one: else 401 without a reason."""
    token = presented_token(request)
    if token is None:
        raise NO_TOKEN.refused()
    return token


def token_key(request: Request) -> Hashable:
    """A digest of the token (MS-8); None where there is none that could be judged."""
    try:
        token = presented_token(request)
    except RestError:
        return None
    return None if token is None else hashlib.sha256(token.encode(errors="replace")).digest()
