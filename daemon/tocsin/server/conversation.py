"""Request after request on one connection: read, check, hand to the handler, answer."""

from typing import TYPE_CHECKING, Final

import trio

from tocsin.model.errors import RequestError, StoreError, service_error, unavailable
from tocsin.server.ledger import ANSWER, BODY, Share
from tocsin.server.limits import Lease
from tocsin.server.loan import Loan, Streamed
from tocsin.server.router import Ending, Route
from tocsin.server.stream import HangupError, Stream
from tocsin.wire.http1 import END, NEED_DATA, Event, Head, Refused, RequestReader
from tocsin.wire.request import Request
from tocsin.wire.response import (
    CLOSE,
    CONTINUE,
    KEEP_ALIVE,
    Response,
    Upgrade,
    render,
    render_streamed,
    render_upgrade,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin.server.http import HttpServer

OK: Final = "ok"
# A connection accepted just before the drain may have a request under way.
DRAIN_PATIENCE: Final = 1.0
TIMEOUTS: Final = {"header": "header_timeout", "body": "body_timeout", "write": "write_timeout"}
# What only asks may be told to ask again; what was done is told, whatever room there is.
ASKING: Final = frozenset({"GET", "HEAD"})
# A longer answer is not copied to have it in one piece with its head.
JOINED_BYTES: Final = 16_384
SHORT_BYTES: Final = 512
Answer = Response | Upgrade | Streamed


class Conversation:
    """The state of one connection between its requests.

    Requests that arrive in one piece are answered one by one and in order: nothing more is read
    while one is handled, so what waits is bounded by one head and one receive.
    """

    def __init__(
        self,
        server: "HttpServer",
        stream: Stream,
        scope: trio.CancelScope,
        *,
        peer: str,
        lease: Lease | None,
        received: bytes | None = None,
    ) -> None:
        self._server = server
        self._stream = stream
        self._scope = scope
        self._peer = peer
        self._lease = lease
        self._reader = RequestReader(header_bytes=server.policy.limits.header_bytes)
        self._started = 0.0
        self._answered_any = received is not None
        self._reader.feed(received or b"")
        self._body_ended = True
        self._share = Share(server.ledger)
        self._receipt: Callable[[bool], None] | None = None
        self._written = False
        self._route: Route | None = None
        self.request: Request | None = None
        self.answering = False
        self.is_lent = False
        self.cors_lines = b""

    async def run(self) -> None:
        """Answer requests until the connection is over. Raises HangupError when it broke off."""
        while await self._exchange():
            self._answered_any = True

    def finish(self) -> None:
        """Nothing is held for this connection any more; whoever waits for a receipt is told if its
        answer was not wholly written."""
        self._share.clear()
        if self._receipt is not None and not self._written:
            self._retract()

    def broken_off(self) -> None:
        """The peer is gone: what it was told last may not have arrived."""
        self._retract()
        if self.request is not None:
            self.report(499, "hangup")

    def timed_out(self) -> None:
        """A deadline passed, or `close_idle` closed an idle connection."""
        waited_for = self._stream.waiting_for
        if waited_for in TIMEOUTS:
            self.report(408, TIMEOUTS[waited_for])

    def refusal(self, error: RequestError) -> Response:
        """The answer an error stands for, in the words of the route it happened on."""
        if self._route is not None and self._route.refuse is not None:
            return self._route.refuse(error)
        return refusal(error)

    def report(self, status: int, label: str) -> None:
        """Tell the server's observer how the current request ended."""
        request, self.request = self.request, None
        self._server.on_request(request, status, label, self._server.clock() - self._started)

    async def _exchange(self) -> bool:
        """One request and its answer; whether the connection stays."""
        head = await self._read_head()
        self._started = self._server.clock()
        if head is None:
            return False
        self._receipt = self._route = None
        if isinstance(head, Refused):
            await self._refuse(head)
            return False
        self._stream.working()
        self._body_ended = False
        request = self._server.request(head, peer=self._peer, lease=self._lease)
        self.request = request
        self.cors_lines = self._server.cors_lines(request)
        answer, label = await self._answer(head, request)
        request.body = b""
        self._share.clear()
        if isinstance(answer, Upgrade):
            await self._hand_over(answer)
            return False
        if isinstance(answer, Streamed):
            await self._lend(head, answer)
            return False
        return await self._write(head, answer, label)

    async def _read_head(self) -> Head | Refused | None:
        """The next request's head, after exactly one checkpoint if it is there; None at the end."""
        limits = self._server.policy.limits
        event: Event | None = self._reader.next_event()
        if event is NEED_DATA and self._reader.between_messages:
            patience = limits.idle_timeout if self._answered_any else limits.header_timeout
            if self._server.closing:
                patience = min(patience, DRAIN_PATIENCE)
            self._server.idle(self._scope)
            event = await self._more("idle", deadline=self._server.clock() + patience)
            self._server.busy(self._scope)
        else:
            await trio.lowlevel.checkpoint()
        if event is NEED_DATA:
            self._started = self._server.clock()
            deadline = self._started + limits.header_timeout
            while event is NEED_DATA:
                event = await self._more("header", deadline=deadline)
        return event if isinstance(event, Head | Refused) else None

    async def _more(self, waiting_for: str, *, deadline: float) -> Event | None:
        """The event after one more receive; None at the end of the stream."""
        data = await self._stream.receive(waiting_for, deadline=deadline)
        if not data:
            return None
        self._reader.feed(data)
        return self._reader.next_event()

    async def _refuse(self, refused: Refused) -> None:
        self.cors_lines = self._server.cors_lines(None)
        error = malformed() if refused.status == 400 else service_error(431, "headers_too_large")
        await self._send(render(refusal(error), extra=self.cors_lines, connection=CLOSE))
        self.report(error.status, error.label)
        await self._stream.linger()

    async def _answer(self, head: Head, request: Request) -> tuple[Answer, str]:
        try:
            self._route = route = self._server.route(request)
            if route is None:
                self.cors_lines = self._server.preflight_lines(request)
                return Response(204), OK
            if route.lines is not None or not route.cors:
                self.cors_lines = route.lines or b""
            await self._server.admit(request, route)
            limit = route.body_limit or self._server.policy.limits.body
            request.body = await self._read_body(head, limit)
            if route.ends_with_client is not None:
                return await self._handle_watched(route, request, route.ends_with_client), OK
            return await self._handle(route, request), OK
        except RequestError as error:
            return self.refusal(error), error.label
        except StoreError:
            full = unavailable("store", retry_after=1)
            return self.refusal(full), full.label

    async def _handle(self, route: Route, request: Request) -> Answer:
        answer = await route.handler(request)
        if isinstance(answer, Response):
            self._receipt, self._written = answer.receipt, False
        return answer

    async def _handle_watched(self, route: Route, request: Request, ending: Ending) -> Answer:
        """Run a handler that is cancelled when the client hangs up; then raises HangupError."""
        answer: Answer | RequestError | StoreError | None = None
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await self._stream.wait_hangup(by_reset=ending == "reset")
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            try:
                answer = await self._handle(route, request)
            except (RequestError, StoreError) as error:
                # Kept as a value: the nursery would wrap it into a group.
                answer = error
            nursery.cancel_scope.cancel()
        if answer is None:
            raise HangupError("the client did not wait for the answer")
        if isinstance(answer, RequestError | StoreError):
            raise answer
        return answer

    async def _read_body(self, head: Head, limit: int) -> bytes:
        """The whole body, counted in the share as it comes. Raises 413 as soon as it is known to be
        too large, 503 if there is no room for it, 400 if malformed."""
        if head.length is not None and head.length > limit:
            raise service_error(413, "too_large")
        body = bytearray()
        event: Event | None = self._reader.next_event()
        if event is NEED_DATA and head.expects_continue:
            await self._send(CONTINUE)
        while event is not END:
            if isinstance(event, bytes):
                if len(body) + len(event) > limit:
                    raise service_error(413, "too_large")
                if not self._share.grow(len(event)):
                    raise self._server.ledger.refusal(BODY)
                body += event
                event = self._reader.next_event()
            elif event is NEED_DATA:
                event = await self._more_body(len(body))
            elif isinstance(event, Refused):
                raise malformed()
            else:
                raise HangupError("the stream ended inside a body")
        self._body_ended = True
        return bytes(body)

    async def _more_body(self, size: int) -> Event | None:
        limits = self._server.policy.limits
        if limits.body_rate:
            deadline = self._started + limits.body_grace + size / limits.body_rate
        else:
            deadline = self._server.clock() + limits.idle_timeout
        event = await self._more("body", deadline=deadline)
        self._stream.working()
        return event

    async def _write(self, head: Head, response: Response, label: str) -> bool:
        if not self._body_ended:
            self._skip_buffered_body()
        if not self._counts(head, response):
            self._retract()
            error = self._server.ledger.refusal(ANSWER)
            response, label = self.refusal(error), error.label
        stays = (
            head.keep_alive
            and self._body_ended
            and not response.ends_connection
            and not self._server.draining
        )
        connection = (KEEP_ALIVE if head.http_10 else b"") if stays else CLOSE
        await self._send_whole(response, connection, head_only=head.method == "HEAD")
        self._share.clear()
        self._written = True
        if self._receipt is not None:
            self._receipt(True)
        self.report(response.status, label)
        if not stays and (head.keep_alive or not self._body_ended):
            await self._stream.linger()
        return stays

    async def _send_whole(self, response: Response, connection: bytes, *, head_only: bool) -> None:
        is_long = not head_only and len(response.body) > JOINED_BYTES
        lines = self.cors_lines
        await self._send(
            render(response, extra=lines, connection=connection, head_only=head_only or is_long)
        )
        if is_long:
            await self._send(response.body)

    def _counts(self, head: Head, response: Response) -> bool:
        """Whether there is room for an answer until it has been read; a refusal would be no shorter
        than a short one."""
        is_sent = head.method != "HEAD" and not response.is_shared
        size = len(response.body) if is_sent else 0
        if head.method in ASKING and size > SHORT_BYTES:
            return self._share.grow(size)
        self._share.add(size)
        return True

    def _skip_buffered_body(self) -> None:
        """After a refusal: if the body is here already, the connection can go on behind it."""
        event = self._reader.next_event()
        while isinstance(event, bytes):
            event = self._reader.next_event()
        self._body_ended = event is END

    async def _send(self, data: bytes) -> None:
        limits = self._server.policy.limits
        seconds = limits.write_timeout
        if limits.body_rate:
            seconds += len(data) / limits.body_rate
        self.answering = True
        await self._stream.send(data, seconds=seconds)
        self.answering = False

    async def _hand_over(self, upgrade: Upgrade) -> None:
        await self._send(render_upgrade(upgrade, extra=self.cors_lines))
        self.report(upgrade.status, OK)
        upgrade.adopt(self._stream.detach(), self._reader.leftover())

    async def _lend(self, head: Head, answer: Streamed) -> None:
        """The head now; the body is written by somebody else, who may give the connection back."""
        chunked = not head.http_10
        stays = chunked and head.keep_alive and not self._server.draining
        await self._send(
            render_streamed(
                answer.status,
                answer.headers,
                chunked=chunked,
                connection=b"" if stays else CLOSE,
                extra=self.cors_lines,
            )
        )
        self.report(answer.status, OK)
        resume = self._server.resumer(self._peer, self._lease) if stays else None
        loan = Loan(chunked=chunked, lease=self._lease, resume=resume)
        self.is_lent = True
        answer.adopt(self._stream.detach(), self._reader.leftover(), loan)

    def _retract(self) -> None:
        receipt, self._receipt = self._receipt, None
        if receipt is not None:
            receipt(False)


def malformed() -> RequestError:
    """400: the bytes are no HTTP/1.1 request."""
    return RequestError(400, "SVC0002", "request", label="malformed")


def refusal(error: RequestError) -> Response:
    """The answer a RequestError stands for."""
    return Response(error.status, error.body(), error.headers)
