"""Token requests and their answers (CH-14; RFC 6749 sections 2.3.1, 4.3, 4.4, 5.1 and 5.2)."""

import base64
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, unquote_plus

import attrs
import orjson

from tocsin.model.errors import TocsinError
from tocsin.model.principal import SCOPES

FORM_TYPE = "application/x-www-form-urlencoded"
FORM_BYTES = 8192
FORM_FIELDS = 32
VALUE_LENGTH = 1024
FOREIGN_SCOPES = ("openid", "profile", "email", "address", "phone", "offline_access")
"""What OpenID Connect clients ask for out of habit; nothing here depends on it."""


class GrantError(TocsinError):
    """No token, and why: status and code of CH-14, a sentence for the developer.

    `retry_after` is in seconds, 0 if waiting does not help.
    """

    def __init__(self, status: int, error: str, description: str, *, retry_after: int = 0) -> None:
        super().__init__(f"{status} {error}")
        self.status = status
        self.error = error
        self.description = description
        self.retry_after = retry_after

    def body(self) -> bytes:
        """The JSON answer."""
        return orjson.dumps({"error": self.error, "error_description": self.description})


@attrs.frozen
class Grant:
    """A pair of tokens: `scope` is what they carry, `expires_in` is in seconds."""

    access_token: str = attrs.field(repr=False)
    id_token: str = attrs.field(repr=False)
    expires_in: int
    scope: str

    def body(self) -> bytes:
        """The JSON answer."""
        return orjson.dumps({**attrs.asdict(self), "token_type": "bearer"})


def parse_form(content_type: str | None, body: bytes) -> dict[str, str]:
    """The fields of a token request; those without a value count as left out."""
    if (content_type or "").partition(";")[0].strip().lower() != FORM_TYPE:
        raise _invalid_request(f"the content type must be {FORM_TYPE}")
    if len(body) > FORM_BYTES:
        raise _invalid_request("the form is too long")
    try:
        fields = parse_qsl(body.decode(), errors="strict", max_num_fields=FORM_FIELDS)
    except ValueError:
        raise _invalid_request("the form cannot be read") from None
    form = dict(fields)
    if len(form) != len(fields):
        raise _invalid_request("a parameter is given twice")
    return form


def with_basic(form: Mapping[str, str], authorization: str | None) -> dict[str, str]:
    """The form with the client's id and secret from a Basic `Authorization` header, if any."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return dict(form)
    if "client_secret" in form:
        raise _invalid_request("the client's secret is given twice")
    client_id, secret = _basic(encoded.strip())
    if form.get("client_id", client_id) != client_id:
        raise _invalid_request("client_id is given twice")
    return {**form, "client_id": client_id, "client_secret": secret}


def required(form: Mapping[str, str], name: str) -> str:
    """A field that must be there."""
    value = form.get(name)
    if not value or len(value) > VALUE_LENGTH:
        raise _invalid_request(f"{name} is missing or too long")
    return value


def granted_scope(asked: str, allowed: Sequence[str]) -> str:
    """The scope of a token for somebody who may have `allowed` and asks for `asked`.

    Who asks for none of our scopes gets all that are allowed: deployed clients only ever ask for
    `openid`, and that word is handed back to them.
    """
    words = asked.split(" ") if asked else []
    ours = [word for word in words if word in SCOPES]
    if any(word not in allowed and word not in FOREIGN_SCOPES for word in words):
        raise GrantError(400, "invalid_scope", "asked for more than is allowed here")
    openid = ["openid"] if "openid" in words else []
    return " ".join(dict.fromkeys([*openid, *(ours or allowed)]))


def _basic(encoded: str) -> tuple[str, str]:
    try:
        client_id, secret = base64.b64decode(encoded, validate=True).decode().split(":", 1)
        return unquote_plus(client_id, errors="strict"), unquote_plus(secret, errors="strict")
    except ValueError:
        raise GrantError(401, "invalid_client", "the Basic credentials cannot be read") from None


def _invalid_request(description: str) -> GrantError:
    return GrantError(400, "invalid_request", description)
