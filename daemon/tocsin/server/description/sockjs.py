"""The HTTP side of messaging connections: SockJS (sockjs.md, sections 1 to 5 and 7).

What goes over the connections stands in AsyncAPI.
"""

from collections.abc import Iterator
from typing import Final

from tocsin.server.description.operation import (
    ALWAYS,
    BEARER,
    PLAIN,
    QUERY_TOKEN,
    Operation,
    answer,
    header,
    query,
    refusal,
)
from tocsin.server.description.schema import (
    ANYTHING,
    FLAG,
    STRING,
    Schema,
    listed,
    matching,
    one_of,
    record,
    ref,
    said,
)
from tocsin.server.description.served import Served
from tocsin.server.messaging.guard import CORRELATOR, SCOPE
from tocsin.server.sockjs.answers import HTML
from tocsin.server.sockjs.exchange import JSON
from tocsin.server.sockjs.receivers import FORMATS
from tocsin.wire.sockjs.refusals import Refusal
from tocsin.wire.sockjs.urls import METHODS, Kind, is_on

TAG: Final = "SockJS"
SESSION: Final = "/{server}/{session}/"
SOCKETS: Final = frozenset({Kind.RAW_WEBSOCKET, Kind.WEBSOCKET})
SENDING: Final = frozenset({Kind.XHR_SEND, Kind.JSONP_SEND})
PATHS: Final = {
    Kind.GREETING: "",
    Kind.INFO: "/info",
    Kind.IFRAME: "/iframe{version}.html",
    Kind.RAW_WEBSOCKET: "/websocket",
}
ABOUT: Final = {
    Kind.GREETING: "Whether there is such a service",
    Kind.INFO: "What a client asks first",
    Kind.IFRAME: "The page that foreign pages load",
    Kind.RAW_WEBSOCKET: "Open a WebSocket, one message a frame",
    Kind.WEBSOCKET: "Open a WebSocket with SockJS frames",
    Kind.XHR: "Wait for a frame",
    Kind.XHR_STREAMING: "Receive frames, a line each",
    Kind.XHR_SEND: "Send messages",
    Kind.EVENTSOURCE: "Receive frames, an event each",
    Kind.HTMLFILE: "Receive frames, a script each",
    Kind.JSONP: "Wait for a frame, a call of `c`",
    Kind.JSONP_SEND: "Send messages, as field `d` of a form",
}
MESSAGES: Final = listed(STRING, description="Messages, a JSON text each.")
CALLBACK: Final = query(
    "c", "The function to call.", matching("[-A-Za-z0-9_.]{1,32}"), required=True
)


def path_of(prefix: str, kind: Kind) -> str:
    """Where a kind of URL is, session and all."""
    return prefix + PATHS.get(kind, f"{SESSION}{kind.value}")


def operations(served: Served) -> Iterator[Operation]:
    """Those of the transports that are on; OPTIONS and HEAD apart."""
    if served.messaging is None:
        return
    transports = frozenset(served.messaging.sockjs.transports)
    for kind, (method, *_) in METHODS.items():
        if is_on(kind, transports):
            yield _operation(served.messaging.prefix, kind, method)


def _operation(prefix: str, kind: Kind, method: str) -> Operation:
    is_open = kind in {Kind.GREETING, Kind.IFRAME}
    parameters = [] if is_open else [query(CORRELATOR, "The device, by its correlator.", STRING)]
    if kind in {Kind.JSONP, Kind.HTMLFILE}:
        parameters.append(CALLBACK)
    answers = {
        **({} if is_open else _guarded()),
        404: answer("There is no such URL, transport or session."),
        413: answer("The body is too large."),
        431: refusal(431, ref("RequestError")),
        503: answer("Drains, is full, or cannot check tokens."),
        **_answers(kind),
    }
    return Operation(
        method=method,
        path=path_of(prefix, kind),
        name=f"sockjs.{kind.name.lower()}",
        tag=TAG,
        summary=ABOUT[kind],
        scope=None if is_open else SCOPE,
        security=None if is_open else [{BEARER: [SCOPE]}, {QUERY_TOKEN: [SCOPE]}],
        parameters=parameters,
        body=_body(kind),
        answers=answers,
        refusals=ALWAYS[:1],
    )


def _guarded() -> dict[int, Schema]:
    """Who is refused is told why; what is refused for another reason has no body."""
    error = ref("MessagingError")
    found = {status: refusal(status, error) for status in (401, 403, 429)}
    return {**found, 400: answer("Not understood, or a token twice.", error)}


def _answers(kind: Kind) -> dict[int, Schema]:
    if kind in SOCKETS:
        return {
            101: answer("The protocol is WebSocket now."),
            400: answer("No handshake."),
            426: answer("Another version.", STRING, content_type=PLAIN),
        }
    if kind in SENDING:
        refused = one_of([Refusal.PAYLOAD_EXPECTED.value, Refusal.BROKEN_JSON.value])
        done = (
            {200: answer("They are handed over.", one_of(["ok"]), content_type=PLAIN)}
            if kind is Kind.JSONP_SEND
            else {204: answer("They are handed over.")}
        )
        return {**done, 500: answer("No list of strings.", refused, content_type=PLAIN)}
    match kind:
        case Kind.GREETING:
            return {200: answer("It is.", STRING, content_type=PLAIN)}
        case Kind.INFO:
            return {200: answer("What is on.", _info(), content_type=JSON)}
        case Kind.IFRAME:
            tag = {"ETag": header("Stays as long as the page does.")}
            return {
                200: answer("The page.", STRING, tag, content_type=HTML),
                304: answer("You have it."),
            }
        case _:
            # Of an event stream a schema would be about the events.
            shown = ANYTHING if kind is Kind.EVENTSOURCE else STRING
            frames = answer("Frames.", shown, content_type=FORMATS[kind].content_type)
            refused = one_of([Refusal.CALLBACK_REQUIRED.value, Refusal.CALLBACK_INVALID.value])
            bad = {500: answer("The callback is no name.", refused, content_type=PLAIN)}
            return {200: frames, **(bad if kind in {Kind.JSONP, Kind.HTMLFILE} else {})}


def _info() -> Schema:
    return record(
        {
            "websocket": FLAG,
            "cookie_needed": FLAG,
            "origins": listed(STRING),
            "entropy": {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
            "base_url?": said(STRING, "Where to go on."),
        }
    )


def _body(kind: Kind) -> Schema | None:
    if kind is Kind.XHR_SEND:
        content = {name: {"schema": MESSAGES} for name in ("application/json", "text/plain")}
        return {"required": True, "content": content}
    if kind is Kind.JSONP_SEND:
        form = record({"d": said(STRING, "A list of messages, as JSON.")})
        return {
            "required": True,
            "content": {"application/x-www-form-urlencoded": {"schema": form}},
        }
    return None
