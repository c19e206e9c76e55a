"""A request as handlers see it, and what its target means (channels.md, CH-3)."""

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote, unquote_to_bytes

import attrs

from tocsin.model.principal import Principal

MASKED_PARAMETER: Final = "access_token"
MASKED_WORDS: Final = ("token", "secret", "password", "key", "authorization")
MASK: Final = "***"
SECRET_PATHS: Final = (("push",), ("pnm2",))
CREDENTIALS_BEHIND: Final = re.compile(r",[ \t]*[A-Za-z]+[ \t]")
TOKEN_ENDPOINT: Final = ("auth", "v1", "token")


@attrs.define
class Request:
    """One request, its body included once the handler runs.

    `segments` is None when the path cannot be decoded, which no route matches. `headers` has
    lower-case names. `peer` is the client's address, as far as trusted proxies tell ("" for a
    Unix socket), `tcp_peer` the address at the other end of the connection. `principal` is set
    on routes with a scope, `path_values` by the router. `keep_lease` hands the
    connection's place in the connection limits to whoever adopts the socket: call what it
    returns when the socket is closed. `public_path` is what may be logged of a path that holds, or
    may hold, a secret.
    """

    method: str
    target: str
    segments: tuple[str, ...] | None
    headers: dict[str, str]
    body: bytes = b""
    peer: str = ""
    tcp_peer: str = ""
    principal: Principal | None = None
    path_values: dict[str, str] = attrs.field(factory=dict)
    request_id: str = ""
    http_version: str = "1.1"
    public_path: str | None = None
    keep_lease: Callable[[], Callable[[], None]] | None = attrs.field(default=None, repr=False)
    _params: dict[str, str] | None = attrs.field(default=None, init=False, repr=False)

    @property
    def params(self) -> dict[str, str]:
        """The query's parameters; of a repeated one the first. `+` is a plus sign."""
        if self._params is None:
            self._params = parse_query(self.target.partition("?")[2])
        return self._params

    @property
    def loggable_target(self) -> str:
        """The target with every value replaced by `***` that by its name is a secret (CH-10); at
        faces that take secrets in bodies, where some will put them into the query, and where the
        path cannot be read or leads nowhere, every value (PU-24, CH-14)."""
        path, mark, query = self.target.partition("?")
        path = path if self.public_path is None else self.public_path
        if not mark:
            return path
        leads_nowhere = self.public_path is not None or self.segments is None
        masks_all = leads_nowhere or _takes_secrets(self.segments or ())
        return path + mark + "&".join(_masked(pair, always=masks_all) for pair in query.split("&"))


def are_repeated(credentials: str) -> bool:
    """Whether an `Authorization` stood in a request twice: repeated headers come joined, and only
    then another scheme follows a comma."""
    return CREDENTIALS_BEHIND.search(credentials) is not None


def origin_form(target: str) -> str:
    """Path and query of a target, whose absolute form (RFC 9112, 3.2.2) is cut down."""
    if target.startswith("/"):
        return target
    scheme, mark, rest = target.partition("://")
    if not mark or scheme.lower() not in {"http", "https"}:
        return target
    start = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    path = rest[start:]
    return path if path.startswith("/") else f"/{path}"


def split_path(target: str) -> tuple[str, ...] | None:
    """The path's segments: split at raw `/`, each percent-decoded once as UTF-8.

    One trailing `/` is ignored. None if the path is not absolute, an escape is broken or the
    bytes are not UTF-8.
    """
    path = target.partition("?")[0]
    if not path.startswith("/"):
        return None
    segments = path[1:].split("/")
    if not segments[-1]:
        segments.pop()
    if "%" not in path:
        return tuple(segments)
    try:
        return tuple([_decoded(part) if "%" in part else part for part in segments])
    except ValueError:
        return None


def parse_query(query: str) -> dict[str, str]:
    """The parameters of a query, percent-decoded; what is not UTF-8 becomes U+FFFD."""
    params: dict[str, str] = {}
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        params.setdefault(unquote(name), unquote(value))
    return params


def _decoded(segment: str) -> str:
    """Raises ValueError (of which UnicodeDecodeError is one) for a bad escape."""
    raw = unquote_to_bytes(segment)
    # Each escape that was understood made three characters one byte; the rest were broken.
    if len(segment) - len(raw) != 2 * segment.count("%"):
        raise ValueError("bad percent escape")
    return raw.decode("utf-8")


def _takes_secrets(segments: tuple[str, ...]) -> bool:
    return segments[:1] in SECRET_PATHS or segments[-3:] == TOKEN_ENDPOINT


def _masked(pair: str, *, always: bool) -> str:
    if not (always or _is_secret(unquote(pair).lower())):
        return pair
    return f"{pair.partition('=')[0]}={MASK}" if "=" in pair else MASK


def _is_secret(pair: str) -> bool:
    name = pair.partition("=")[0]
    return MASKED_PARAMETER in pair or any(word in name for word in MASKED_WORDS)
