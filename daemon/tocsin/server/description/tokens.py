"""The token endpoint (channels.md, CH-14; RFC 6749)."""

from collections.abc import Iterator
from typing import Any, Final

from tocsin.server.description.operation import ALWAYS, FORM, Operation, answer, body, header
from tocsin.server.description.schema import (
    STRING,
    Schema,
    matching,
    one_of,
    record,
    ref,
    request,
    said,
    text,
)
from tocsin.server.description.served import Served
from tocsin.wire.grant import VALUE_LENGTH

TAG: Final = "Tokens"
JWT: Final = matching("[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+")
VALUE: Final = text(1, VALUE_LENGTH)
ERRORS: Final = (
    *("invalid_request", "unsupported_grant_type", "invalid_scope", "invalid_grant"),
    *("invalid_client", "slow_down"),
)
BASIC: Final[dict[str, Any]] = {
    "client": {
        "type": "http",
        "scheme": "basic",
        "description": "The client's id and secret, where they do not stand in the form.",
    }
}
SCHEMAS: Final[dict[str, Schema]] = {
    "TokenRequest": request(
        {
            "grant_type": one_of(["client_credentials", "password"]),
            "client_id?": VALUE,
            "client_secret?": VALUE,
            "username?": said(VALUE, "For a password."),
            "password?": said(VALUE, "Of the user."),
            "scope?": said(STRING, "Separated by spaces; none of ours, and it is all allowed."),
        }
    ),
    "TokenPair": record(
        {
            "access_token": JWT,
            "id_token": JWT,
            "token_type": one_of(["bearer"]),
            "expires_in": {"type": "integer"},
            "scope": STRING,
        }
    ),
    "TokenError": record({"error": one_of(ERRORS), "error_description": text()}),
}


def operations(served: Served) -> Iterator[Operation]:
    """One, where it is on."""
    if served.token_path is None:
        return
    error = ref("TokenError")
    wait = {"Retry-After": header("Whole seconds.")}
    challenge = {"WWW-Authenticate": header("Where Basic was tried.", required=False)}
    yield Operation(
        method="POST",
        path=served.token_path,
        name="createToken",
        tag=TAG,
        summary="Get a token for a client or a user",
        security=[{"client": []}, {}],
        body=body(ref("TokenRequest"), content_type=FORM),
        answers={
            200: answer("A token for calls, and one that tells who it is for.", ref("TokenPair")),
            400: answer("It cannot be granted.", error),
            401: answer("The client is not known so.", error, challenge),
            429: answer("Too many failures.", error, wait),
        },
        refusals=(*ALWAYS, 406),
    )
