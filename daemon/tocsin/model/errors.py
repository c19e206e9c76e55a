"""The catalogue of refusals (channels.md, section 13).

    TocsinError
     +-- RequestError      a request is refused: status, messageId, text, variables
     +-- StoreError        the store cannot do what was asked of it (503 to callers)
     +-- StartupError      the daemon cannot start: one clear line, non-zero exit

A face raises `RequestError`, made by one of the functions below; the HTTP server turns it into
the JSON answer. `label` is the closed-set word for metrics and logs.
"""

from collections.abc import Sequence

import orjson

TEXTS = {
    "SVC0001": "A service error occurred. Error code is %1",
    "SVC0002": "Invalid input value for message part %1",
    "SVC0003": "Invalid input value for message part %1, valid values are %2",
    "SVC0004": "No valid addresses provided in message part %1",
    "SVC0005": "Correlator %1 specified in message part %2 is a duplicate",
    "SVC1000": "No server resources available to process the request",
    "POL0001": "A policy error occurred. Error code is %1",
}
VARIABLE_LIMIT = 100


class TocsinError(Exception):
    """Anything this daemon raises on purpose."""


class StoreError(TocsinError):
    """The store cannot do what was asked of it; nothing was stored."""


class StartupError(TocsinError):
    """The daemon cannot start; the message is the one line that is printed."""


class RequestError(TocsinError):
    """A refused request: what the caller is told, and nothing stored.

    `headers` are added to the answer (`Allow`, `WWW-Authenticate`, `Retry-After`).
    """

    def __init__(
        self,
        status: int,
        message_id: str,
        *variables: str,
        label: str,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(f"{status} {message_id} {label}")
        self.status = status
        self.message_id = message_id
        self.variables = tuple(_presentable(variable) for variable in variables)
        self.label = label
        self.headers = tuple(headers)

    def as_dict(self) -> dict[str, object]:
        """`{"messageId", "text", "variables"}`, as a rejected list item shows it (CH-110)."""
        return {
            "messageId": self.message_id,
            "text": TEXTS[self.message_id],
            "variables": list(self.variables),
        }

    def body(self) -> bytes:
        """The JSON answer of section 13."""
        kind = "policyException" if self.message_id.startswith("POL") else "serviceException"
        return orjson.dumps({"requestError": {kind: self.as_dict()}})


def _presentable(variable: str) -> str:
    """A variable as CH-120 wants it: short, without braces, controls and lone surrogates."""
    kept = (c for c in variable if c not in "{}" and c.isprintable())
    return "".join(kept)[:VARIABLE_LIMIT]


def invalid(member: str) -> RequestError:
    """400 SVC0002: a missing or bad member, named by its dotted path."""
    return RequestError(400, "SVC0002", member, label="invalid_value")


def not_one_of(member: str, valid: Sequence[str]) -> RequestError:
    """400 SVC0003: a value outside an enumeration."""
    return RequestError(400, "SVC0003", member, ", ".join(valid), label="not_one_of")


def unauthorized(code: str) -> RequestError:
    """401 POL0001: `token_missing`, `token_invalid` or `token_expired` (CH-13)."""
    challenge = "Bearer" if code == "token_missing" else 'Bearer error="invalid_token"'
    return RequestError(401, "POL0001", code, label=code, headers=[("WWW-Authenticate", challenge)])


def forbidden(code: str) -> RequestError:
    """403 POL0001: a policy says no (`user_mismatch`, `service_not_on_channel`, quotas...)."""
    return RequestError(403, "POL0001", code, label=code)


def scope_missing(scope: str) -> RequestError:
    """403 POL0001 `scope_missing`, with the scope that would do (CH-13)."""
    challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
    return RequestError(
        403,
        "POL0001",
        "scope_missing",
        label="scope_missing",
        headers=[("WWW-Authenticate", challenge)],
    )


def not_found(part: str) -> RequestError:
    """404 SVC0004: no such `channelId` or `subscriptionId` (CH-20, CH-90)."""
    return RequestError(404, "SVC0004", part, label="not_found")


def duplicate(value: str, part: str) -> RequestError:
    """409 SVC0005: a correlator that is taken."""
    return RequestError(409, "SVC0005", value, part, label="duplicate")


def service_error(
    status: int, code: str, *, headers: Sequence[tuple[str, str]] = ()
) -> RequestError:
    """404 to 431 and 500 SVC0001: `unknown_path`, `method`, `too_large`, `internal`..."""
    return RequestError(status, "SVC0001", code, label=code, headers=headers)


def method_not_allowed(allowed: Sequence[str]) -> RequestError:
    """405 with `Allow` (CH-8)."""
    return service_error(405, "method", headers=[("Allow", ", ".join(allowed))])


def unavailable(label: str, *, retry_after: int) -> RequestError:
    """503 SVC1000 with `Retry-After` in seconds: drain, backlog, store down, no keys."""
    return RequestError(503, "SVC1000", label=label, headers=[("Retry-After", str(retry_after))])


def rate_limited(*, retry_after: int) -> RequestError:
    """429 SVC1000 with `Retry-After` in seconds."""
    return RequestError(
        429, "SVC1000", label="rate_limited", headers=[("Retry-After", str(retry_after))]
    )
