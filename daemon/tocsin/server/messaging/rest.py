"""`/v1/messaging`: read-outs and revoking over HTTP (messaging.md, section 11).

Everything below the prefix is answered in the words of this face, whoever refuses it.
"""

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import trio

from tocsin.messaging.refused import Refused
from tocsin.model.conversation import Subscriber
from tocsin.model.errors import RequestError
from tocsin.model.principal import Principal
from tocsin.server.auth import Authenticator
from tocsin.server.messaging.guard import SCOPE, check_allowed, check_subscriber
from tocsin.server.messaging.oversight import Oversight
from tocsin.server.messaging.rates import Rates
from tocsin.server.messaging.readouts import Readouts
from tocsin.server.router import Route, Router
from tocsin.server.sockjs.guard import wanted_token
from tocsin.wire.messaging.refusals import (
    INVALID_TOKEN,
    NO_TOKEN,
    ErrorCode,
    MessageError,
    RestError,
    in_our_words,
)
from tocsin.wire.request import Request
from tocsin.wire.response import Response

PREFIX: Final = "/v1/messaging"
ADMIN: Final = "admin"

ReadOut = Callable[[Subscriber, Request], Awaitable[bytes]]


class MessagingRestFace:
    """The resources, and what they have in common."""

    def __init__(
        self,
        tokens: Authenticator,
        readouts: Readouts,
        oversight: Oversight,
        rates: Rates,
        *,
        now: Callable[[], float] = trio.current_time,
    ) -> None:
        """`tokens` judges as the guard of the connections does."""
        self._tokens = tokens
        self._readouts = readouts
        self._rates = rates
        self._now = now
        self._router = Router()
        self._add_readouts()
        self._add_oversight(oversight)

    def add_routes(self, router: Router) -> None:
        """Take everything at and below the prefix."""
        router.mount(PREFIX, self._route)

    def _add_readouts(self) -> None:
        for path, read_out in (
            ("log", self._readouts.log),
            ("channels", self._readouts.memberships),
            ("channels/{roomId}/subscribers", self._readouts.members),
            ("history", self._readouts.history),
        ):
            self._router.add(
                "GET",
                f"{PREFIX}/{path}",
                partial(self._answer, read_out),
                scope=SCOPE,
                ends_with_client="reset",
                authorize=self._subscriber,
                refuse=_refuse,
            )

    def _add_oversight(self, oversight: Oversight) -> None:
        for method, path, handler in (
            ("GET", "subscribers/{subscriberId}", oversight.subscriber),
            ("GET", "messages/{messageId}", oversight.message),
            ("POST", "revoke", oversight.revoke),
        ):
            self._router.add(
                method,
                f"{PREFIX}/{path}",
                handler,
                scope=ADMIN,
                authorize=self._operator,
                refuse=_refuse,
            )

    def _route(self, request: Request) -> Route | None:
        try:
            match = self._router.match(request.method, request.segments)
        except RequestError as error:
            request.public_path = self._router.shown(request.segments)
            return _no_route(request, error)
        request.path_values = match.path_values
        return match.route

    async def _subscriber(self, request: Request) -> Principal:
        principal = await self._tokens.judge(wanted_token(request))
        check_subscriber(principal)
        return principal

    async def _operator(self, request: Request) -> Principal:
        """Need not be a subscriber; who names a domain that can be none acts in none."""
        principal = await self._tokens.judge(wanted_token(request))
        if not principal.domain:
            raise INVALID_TOKEN.refused()
        check_allowed(principal, ADMIN)
        return principal

    async def _answer(self, read_out: ReadOut, request: Request) -> Response:
        principal = request.principal
        if principal is None:
            raise NO_TOKEN.refused()
        reader = await self._readouts.reader(principal)
        wait = self._rates.take(reader.key, self._now())
        if wait:
            raise _too_many(math.ceil(wait))
        try:
            return Response(200, await read_out(reader, request))
        except Refused as refused:
            raise RestError(refused.error) from None


def _refuse(error: RequestError) -> Response:
    return Response(error.status, in_our_words(error).body(), error.headers)


def _too_many(retry_after: int) -> RestError:
    error = MessageError(ErrorCode.RATE_LIMITED, "Too many requests.", retry_after)
    return RestError(error, label="rate_limited")


def _no_route(request: Request, error: RequestError) -> Route:
    async def screen() -> None:
        await trio.lowlevel.checkpoint()
        raise error

    async def nothing(_request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        raise error

    return Route(
        method=request.method,
        pattern=PREFIX,
        handler=nothing,
        scope=None,
        json=False,
        refuse=_refuse,
        screen=screen,
    )
