"""The HTTP server: checks every request in the order of channels.md, CH-13, and answers it."""

import itertools
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Final, TypeVar

import attrs
import trio

from tocsin.model import errors
from tocsin.model.principal import Principal
from tocsin.server.conversation import Conversation
from tocsin.server.cors import Cors
from tocsin.server.ledger import Ledger
from tocsin.server.limits import FailedAuthentications, Lease, Rate, per_producer, per_token
from tocsin.server.peers import Networks, Proxies
from tocsin.server.router import Route, Router
from tocsin.server.settings import CorsSettings, HttpLimits
from tocsin.server.stream import HangupError, Stream
from tocsin.wire.content import accepts_json, json_body
from tocsin.wire.http1 import Head
from tocsin.wire.request import Request, origin_form, split_path
from tocsin.wire.response import CLOSE, Response, Upgrade, render

__all__ = ["HttpPolicy", "HttpServer", "Request", "Response", "Upgrade", "json_body"]

CHANNELS: Final = "channels"
PUBLISH: Final = "publish"

Authorize = Callable[[Request, Route], Awaitable[Principal | None]]
OnRequest = Callable[[Request | None, int, str, float], None]
OnError = Callable[[Request | None, Exception], None]
Answered = TypeVar("Answered")


@attrs.frozen
class HttpPolicy:
    """What the configuration says about requests; replaced whole when it is read again."""

    limits: HttpLimits
    cors: Cors | None
    proxies: Proxies
    rates: Mapping[str, Rate]
    failures: FailedAuthentications

    @classmethod
    def of(
        cls,
        limits: HttpLimits,
        *,
        cors: CorsSettings | None,
        trusted_proxies: Iterable[str] = (),
        publish_rate: float = 0,
    ) -> "HttpPolicy":
        """Build it from settings. `cors` None: no CORS headers and no preflight (admin)."""
        return cls(
            limits=limits,
            cors=None if cors is None else Cors(cors),
            proxies=Proxies(Networks(trusted_proxies)),
            rates={CHANNELS: per_token(limits.rate), PUBLISH: per_producer(publish_rate)},
            failures=FailedAuthentications(
                limits.rate, unlimited=Networks(limits.unlimited_networks)
            ),
        )


class HttpServer:
    """Serves connections by the routes of one router.

    `authorize` only says who is asking (or raises 401, 503); scope and user are judged here.
    `on_request(request, status, label, seconds)` is called once for each request: `label` is
    "ok", the label of a RequestError, "internal", "malformed", "headers_too_large", "hangup"
    (status 499, nobody to answer) or "header_timeout", "body_timeout", "write_timeout" (408, the
    connection was closed); `request` is None where no head could be read. `on_error(request,
    error)` gets what a handler was not meant to raise. `policy` may be replaced at any time;
    `ledger` has what is in memory of all its requests and answers.
    """

    def __init__(
        self,
        router: Router,
        *,
        authorize: Authorize,
        policy: HttpPolicy,
        on_request: OnRequest,
        on_error: OnError,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self.policy = policy
        self.ledger = Ledger(lambda: self.policy.limits.http_bytes)
        self.on_request = on_request
        self.clock = clock
        self._router = router
        self._authorize = authorize
        self._on_error = on_error
        self._draining = False
        self._closing = False
        self._idle: set[trio.CancelScope] = set()
        self._ids = itertools.count(1)
        self._id_prefix = secrets.token_hex(4)
        unknown = {route.rate for route in router.routes()} - {None, *policy.rates}
        if unknown:
            raise ValueError(f"routes with rates nobody defined: {unknown}")

    def take_over(self, other: "HttpServer") -> None:
        """From now on requests are judged and answered as another server would, which serves
        nobody; those that have a route go on by it."""
        self.policy = other.policy
        self._router = other._router
        self._authorize = other._authorize

    @property
    def draining(self) -> bool:
        """Whether connections end after the answer they are at."""
        return self._draining

    @property
    def closing(self) -> bool:
        """Whether a connection is not to wait for another request."""
        return self._closing

    def drain(self) -> None:
        """From now on every connection is closed after its next answer."""
        self._draining = True

    def close_idle(self) -> None:
        """Close the connections that wait for a request, and let nobody wait for one any more."""
        self._draining = self._closing = True
        for scope in self._idle:
            scope.cancel()

    def idle(self, scope: trio.CancelScope) -> None:
        """Note that a connection waits for its next request, and may be closed by `close_idle`."""
        self._idle.add(scope)

    def busy(self, scope: trio.CancelScope) -> None:
        """Note that it waits no longer."""
        self._idle.discard(scope)

    async def serve_connection(
        self,
        sock: socket.socket,
        peer: str,
        lease: Lease | None = None,
        received: bytes | None = None,
    ) -> None:
        """Answer requests on a raw non-blocking socket until it is over; owns both.

        `received` is given where the connection has had an answer already: what came behind that
        request. Returns when the connection has ended, was handed over or lent; a lent one comes
        back as a task of the nursery this one is in. Raises nothing but Cancelled.
        """
        scope = trio.CancelScope()
        stream = Stream(sock, scope)
        conversation = Conversation(self, stream, scope, peer=peer, lease=lease, received=received)
        try:
            await self._converse(conversation, scope)
        # One of the project's two fences: a mistake in one request must end that request only.
        except Exception as error:  # noqa: BLE001
            self._on_error(conversation.request, error)
            self._apologize(stream, conversation)
        finally:
            self._idle.discard(scope)
            stream.close()
            if lease is not None and not conversation.is_lent:
                lease.finish()

    def resumer(self, peer: str, lease: Lease | None) -> Callable[[socket.socket, bytes], None]:
        """What serves a connection on that comes back to where the current task was."""
        nursery = trio.lowlevel.current_task().parent_nursery
        if nursery is None:
            raise RuntimeError("Trio's own first task serves no connections")

        def resume(sock: socket.socket, received: bytes) -> None:
            try:
                nursery.start_soon(
                    partial(self.serve_connection, sock, peer, lease, received=received)
                )
            except RuntimeError:  # the nursery has ended before the answer did
                sock.close()
                if lease is not None:
                    lease.finish()

        return resume

    async def _converse(self, conversation: Conversation, scope: trio.CancelScope) -> None:
        try:
            with scope:
                await conversation.run()
            if scope.cancelled_caught:
                conversation.timed_out()
        except HangupError:
            conversation.broken_off()
        finally:
            conversation.finish()

    def request(self, head: Head, *, peer: str, lease: Lease | None) -> Request:
        """The request a head announces."""
        target = origin_form(head.target)
        return Request(
            method=head.method,
            target=target,
            segments=split_path(target),
            headers=head.headers,
            peer=self.policy.proxies.client(peer, head.headers),
            tcp_peer=peer,
            request_id=f"{self._id_prefix}-{next(self._ids):x}",
            http_version="1.0" if head.http_10 else "1.1",
            keep_lease=None if lease is None else lease.keep,
        )

    def route(self, request: Request) -> Route | None:
        """Path and method; None is a preflight. Raises RequestError."""
        mount = self._router.mounted(request.target)
        if mount is not None:
            return mount(request)
        try:
            match = self._router.match(request.method, request.segments)
        except errors.RequestError:
            request.public_path = self._router.shown(request.segments)
            raise
        request.path_values = match.path_values
        if match.route is None and self.policy.cors is None:
            raise errors.service_error(404, "unknown_path")
        return match.route

    def cors_lines(self, request: Request | None) -> bytes:
        """CORS header lines for an answer to this request, or to one that could not be read."""
        cors = self.policy.cors
        if cors is None:
            return b""
        return cors.answer(request.headers.get("origin") if request is not None else None)

    def preflight_lines(self, request: Request) -> bytes:
        """CORS header lines for the answer to a preflight."""
        cors = self.policy.cors
        return b"" if cors is None else cors.preflight(request.headers.get("origin"))

    async def admit(self, request: Request, route: Route) -> None:
        """Token, rate, scope, user and Accept, in this order. Raises RequestError."""
        if route.screen is not None:
            await self._counting_failures(route.screen(), request)
        if route.scope is not None:
            request.principal = await self._authenticate(request, route)
            if route.rate is not None:
                self.policy.rates[route.rate].check(request.principal, self.clock())
            if not request.principal.may(route.scope):
                raise errors.scope_missing(route.scope)
            if route.own_user and not request.principal.is_user(request.path_values["user"]):
                raise errors.forbidden("user_mismatch")
        accept = request.headers.get("accept")
        if route.json and accept is not None and not accepts_json(accept):
            raise errors.service_error(406, "not_acceptable")

    async def _authenticate(self, request: Request, route: Route) -> Principal:
        if route.authorize is not None:
            asked = route.authorize(request)
        else:
            asked = self._authorize(request, route)
        principal = await self._counting_failures(asked, request)
        if principal is None:
            raise errors.unauthorized("token_missing")
        return principal

    async def _counting_failures(self, asked: Awaitable[Answered], request: Request) -> Answered:
        try:
            return await asked
        except errors.RequestError as error:
            if error.status == 401:
                self.policy.failures.count(request.peer, self.clock())
            raise

    def _apologize(self, stream: Stream, conversation: Conversation) -> None:
        """Answer 500 if nothing was answered yet and the kernel takes it; the connection ends."""
        if stream.detached or conversation.answering:
            return
        error = errors.service_error(500, "internal")
        refused = conversation.refusal(error)
        answer = render(refused, extra=conversation.cors_lines, connection=CLOSE)
        conversation.report(500, error.label)
        try:
            stream.send_nowait(answer)
        except HangupError:
            return
