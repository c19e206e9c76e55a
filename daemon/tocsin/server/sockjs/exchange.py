"""One request to a SockJS service, judged in the order of SJ-3 and answered.

    URL 404 -> method 405 -> transport off 404 -> origin 403 -> authorization -> the rest

Everything up to the authorization comes before the body is read. Answers that last are handed to
the engine: see `receivers` and `websockets`.
"""

import socket
from typing import TYPE_CHECKING, Final

import trio

from tocsin.model.errors import (
    RequestError,
    forbidden,
    method_not_allowed,
    service_error,
)
from tocsin.server.loan import Loan, Streamed
from tocsin.server.router import Route
from tocsin.server.sockjs.answers import iframe_page, info_text, preflight
from tocsin.server.sockjs.asked import SOCKETS, Asked, page_headers
from tocsin.server.sockjs.framing import FRAMED, RAW
from tocsin.server.sockjs.receivers import FORMATS, ResponseReceiver
from tocsin.server.sockjs.sending import hand_over, read_messages
from tocsin.server.sockjs.session import Handover, Session
from tocsin.wire import handshake
from tocsin.wire.messaging.refusals import in_our_words
from tocsin.wire.request import Request
from tocsin.wire.response import NO_STORE, Response, Upgrade, header_lines
from tocsin.wire.sockjs import frames, pages
from tocsin.wire.sockjs.callback import callback_name
from tocsin.wire.sockjs.cors import Header
from tocsin.wire.sockjs.refusals import Refusal
from tocsin.wire.sockjs.urls import METHODS, Kind, is_on

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from tocsin.server.sockjs.service import Service

PLAIN: Final = "text/plain; charset=UTF-8"
JSON: Final = "application/json; charset=UTF-8"
ENDINGS: Final = {401: frames.UNAUTHORIZED, 403: frames.FORBIDDEN}
SENDING: Final = frozenset({Kind.XHR_SEND, Kind.JSONP_SEND})
NO_UPGRADE: Final = b"Not a WebSocket handshake: send Upgrade: websocket, Connection: Upgrade.\n"
OTHER_VERSION: Final = b"This server speaks version 13 of the WebSocket protocol.\n"


class Exchange:
    """One request and its answer."""

    def __init__(self, service: "Service", request: Request) -> None:
        self._service = service
        self._request = request
        self._asked = Asked.of(request, service.prefix, service.allowed_origins)
        self._is_asking = False
        self._may_open = service.guard is None
        self._key: Hashable = None
        self._principal: object = None

    def route(self) -> Route:
        """What the HTTP server needs to know of it."""
        return Route(
            method=self._request.method,
            pattern=self._service.prefix,
            handler=self.answer,
            scope=None,
            body_limit=frames.MESSAGE_BYTES if self._asked.kind in SENDING else None,
            json=False,
            refuse=self.refuse,
            screen=self.screen,
            lines=header_lines(self._asked.headers(self._service.settings)),
        )

    async def screen(self) -> None:
        """Raise what speaks against the request as far as its head tells."""
        kind, method = self._asked.kind, self._request.method
        if kind is None:
            raise service_error(404, "unknown_path")
        if method not in METHODS[kind]:
            raise method_not_allowed(METHODS[kind])
        if not is_on(kind, self._service.transports):
            raise service_error(404, "unknown_path")
        if self._asked.is_foreign and kind is not Kind.GREETING:
            raise forbidden("origin_denied")
        if self._asked.is_guarded:
            await self._authorise()

    def refuse(self, error: RequestError) -> Response:
        """A refusal has no body, unless it is about who is asking (MS-6)."""
        self._service.metrics.sockjs_refused[error.label].inc()
        body = in_our_words(error).body() if self._is_asking else b""
        return self._response(error.status, body, JSON, headers=error.headers)

    async def answer(self, _request: Request) -> Response | Upgrade | Streamed:
        """The answer to a request that passed `screen`, its body read."""
        if self._asked.is_preflight:
            return preflight(self._asked, self._service)
        match self._asked.kind:
            case Kind.GREETING:
                return self._response(200, pages.GREETING)
            case Kind.INFO:
                return self._response(200, info_text(self._asked, self._service), JSON)
            case Kind.IFRAME:
                return iframe_page(self._asked, self._service)
            case Kind.WEBSOCKET | Kind.RAW_WEBSOCKET:
                return self._websocket()
            case Kind.XHR_SEND | Kind.JSONP_SEND:
                return await self._send(self._asked.kind)
            case Kind() as kind:
                return self._receive(kind)
            case None:
                raise service_error(404, "unknown_path")

    # -- what is judged before ---------------------------------------------------------------

    async def _authorise(self) -> None:
        """Ask the hook, but not about a session that only has its end to tell (SJ-4, MS-10)."""
        guard = self._service.guard
        if guard is None:
            return
        self._key = guard.key(self._request)
        session = self._own_session()
        if session is not None and session.is_closing:
            return
        self._is_asking = True
        try:
            self._principal = await guard.authorise(self._request)
            self._may_open = True
        except RequestError as error:
            self._judge_session(error)
        self._is_asking = False

    def _judge_session(self, error: RequestError) -> None:
        """Who is here already stays while nobody can be asked (MS-11). One whose token turns out
        to be good no longer is told so by the close frame, for its client sees no status (MS-9,
        MS-10). To anybody else the refusal is raised."""
        session = self._own_session()
        if session is None or error.status not in {*ENDINGS, 503}:
            raise error
        if error.status in ENDINGS:
            session.close(*ENDINGS[error.status])

    def _own_session(self) -> Session | None:
        """The session a request is about, if it has the key of the one that opened it."""
        if not self._asked.session or self._asked.kind in SOCKETS:
            return None
        session = self._service.session(self._asked.session)
        return session if session is not None and session.key == self._key else None

    def _response(
        self,
        status: int,
        body: bytes,
        content_type: str = PLAIN,
        *,
        headers: tuple[Header, ...] = (),
    ) -> Response:
        return Response(
            status,
            body,
            headers,
            content_type=content_type,
            cache_control=None if self._asked.is_uncacheable else NO_STORE,
        )

    # -- WebSockets --------------------------------------------------------------------------

    def _websocket(self) -> Response | Upgrade:
        request = self._request
        accept = handshake.answer(
            request.method, request.headers, http_version=request.http_version
        )
        if isinstance(accept, handshake.Refusal):
            self._service.metrics.sockjs_refused["upgrade"].inc()
            return self._no_upgrade(accept)
        self._service.check_room()
        headers = (
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", accept),
        )
        return Upgrade(headers, self._adopt_socket)

    def _no_upgrade(self, refusal: handshake.Refusal) -> Response:
        if refusal is handshake.Refusal.BAD_VERSION:
            return self._response(426, OTHER_VERSION, headers=refusal.headers)
        answer = self._response(400, NO_UPGRADE)
        answer.ends_connection = True
        return answer

    def _adopt_socket(self, sock: socket.socket, received: bytes) -> None:
        keep = self._request.keep_lease
        release: Callable[[], None] = keep() if keep is not None else _nothing
        framing = RAW if self._asked.kind is Kind.RAW_WEBSOCKET else FRAMED
        service = self._service
        session = service.open_socket(framing, principal=self._principal, on_gone=release)
        try:
            service.engine.adopt(sock, session, service.limits, received=received)
        except (trio.ClosedResourceError, OSError):
            session.closed(1006)
            sock.close()

    # -- sessions ----------------------------------------------------------------------------

    async def _send(self, kind: Kind) -> Response:
        messages = read_messages(kind, self._request)
        if isinstance(messages, Refusal):
            return self._refused(messages, "body")
        session = self._own_session()
        handover = Handover.GONE if session is None else await hand_over(session, messages)
        if handover is Handover.GONE:
            raise service_error(404, "session")
        if handover is Handover.CLOSING:
            self._service.metrics.sockjs_refused["closing"].inc()
        if kind is Kind.JSONP_SEND:
            return self._response(200, b"ok")
        return self._response(204, b"", headers=(("Content-Type", PLAIN),))

    def _refused(self, refusal: Refusal, reason: str) -> Response:
        self._service.metrics.sockjs_refused[reason].inc()
        return self._response(500, refusal.value.encode())

    def _receive(self, kind: Kind) -> Response | Streamed:
        callback: str | Refusal = ""
        if kind in {Kind.HTMLFILE, Kind.JSONP}:
            callback = callback_name(self._request.params)
        if isinstance(callback, Refusal):
            return self._refused(callback, "callback")
        session = self._service.session(self._asked.session)
        if session is None and self._may_open:
            self._service.check_room()
        elif session is None or session.key != self._key:
            raise service_error(404, "session")
        form = FORMATS[kind]
        headers = (
            ("Content-Type", form.content_type),
            *form.headers,
            *(page_headers(self._service.allowed_origins) if kind is Kind.HTMLFILE else ()),
        )
        receiver = ResponseReceiver(
            kind,
            callback=callback,
            limit=self._service.settings.response_limit,
            find=self._find,
            metrics=self._service.metrics,
        )

        def adopt(sock: socket.socket, received: bytes, loan: Loan) -> None:
            try:
                self._service.engine.adopt_response(sock, receiver, loan, received=received)
            except (trio.ClosedResourceError, OSError):
                sock.close()
                loan.end()

        return Streamed(headers, adopt)

    def _find(self) -> Session | None:
        """The session to attach to, made if need be.

        None if it is another's meanwhile, or was closing and is gone: nobody was asked then
        whether there may be a new one.
        """
        service = self._service
        session = service.session(self._asked.session)
        if session is None and self._may_open and self._asked.kind is not None:
            transport = FORMATS[self._asked.kind].transport
            return service.open_session(
                self._asked.session, transport, key=self._key, principal=self._principal
            )
        return session if session is not None and session.key == self._key else None


def _nothing() -> None:
    """Nothing to give back."""
