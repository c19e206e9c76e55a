"""Which handler a request is for, and what that route demands (channels.md, CH-3, CH-8)."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, Literal

import attrs

from tocsin.model import errors
from tocsin.model.errors import RequestError
from tocsin.model.principal import Principal
from tocsin.server.loan import Streamed
from tocsin.wire.request import MASK, Request
from tocsin.wire.response import Response, Upgrade

Handler = Callable[[Request], Awaitable[Response | Upgrade | Streamed]]
Authorize = Callable[[Request], Awaitable[Principal | None]]
Refuse = Callable[[RequestError], Response]
Ending = Literal["close", "reset"]
OPTIONS: Final = "OPTIONS"
ANY: Final = "*"
"""Every method of a path that has no route of its own; a preflight stays one."""


@attrs.frozen
class Route:
    """One method on one pattern.

    `scope` None asks for no token. `own_user`: the segment `{user}` must be the token's user.
    `body_limit` None takes the server's. `rate` names one of the server's rates. `json`: the
    answer is JSON, so an `Accept` that excludes it is refused. `ends_with_client`: the handler is
    cancelled when the client hangs up, for answers that are held back, or when its connection is
    reset, for those that wait for their turn: who only ends his side still wants his answer.
    `authorize` says who is asking here, in place of the server's own; `refuse` renders what is
    refused here. `screen` judges a request before its body is read. `lines` are finished header
    lines for every answer, in place of the server's CORS.
    """

    method: str
    pattern: str
    handler: Handler
    scope: str | None
    own_user: bool = False
    body_limit: int | None = None
    cors: bool = True
    rate: str | None = None
    json: bool = True
    ends_with_client: Ending | None = None
    authorize: Authorize | None = None
    refuse: Refuse | None = None
    screen: Callable[[], Awaitable[None]] | None = None
    lines: bytes | None = None
    placeholders: tuple[str, ...] = ()


@attrs.frozen
class Match:
    """The route of a request and the values of its placeholders; no route: a preflight."""

    route: Route | None
    path_values: dict[str, str]


Mount = Callable[[Request], Route | None]
"""None: a preflight."""


@attrs.define
class _Node:
    """What may follow one segment of a path."""

    literals: dict[str, "_Node"] = attrs.field(factory=dict)
    placeholder: "_Node | None" = None
    routes: dict[str, Route] = attrs.field(factory=dict)


class Router:
    """All routes, by path and method. A literal segment beats a placeholder."""

    def __init__(self) -> None:
        self._root = _Node()
        self._words: set[str] = set()
        self._mounts: list[tuple[str, Mount]] = []

    def mount(self, prefix: str, mount: Mount) -> None:
        """Have everything at and below a prefix, whatever its method, judged by its owner.

        `mount` makes the route of each request, path and all. It comes before every other route.
        Raises ValueError for a prefix that ends in a slash or is within another.
        """
        if not prefix.startswith("/") or prefix.endswith("/"):
            raise ValueError(f"{prefix!r} is no prefix")
        if any(_is_below(prefix, other) or _is_below(other, prefix) for other, _ in self._mounts):
            raise ValueError(f"{prefix} is taken")
        self._mounts.append((prefix, mount))

    def mounted(self, target: str) -> Mount | None:
        """Who owns the path of a target, which is not decoded for this."""
        for prefix, mount in self._mounts:
            if target.startswith(prefix) and _is_below(target.partition("?")[0], prefix):
                return mount
        return None

    def add(
        self,
        method: str,
        pattern: str,
        handler: Handler,
        *,
        scope: str | None,
        own_user: bool = False,
        body_limit: int | None = None,
        cors: bool = True,
        rate: str | None = None,
        json: bool = True,
        ends_with_client: Ending | None = None,
        authorize: Authorize | None = None,
        refuse: Refuse | None = None,
    ) -> Route:
        """Declare a route; a segment `{name}` of the pattern matches any one that is not empty.

        Raises ValueError for a route that exists or `own_user` without `{user}` and a scope.
        """
        segments = pattern.strip("/").split("/") if pattern != "/" else []
        names = tuple(segment[1:-1] for segment in segments if segment.startswith("{"))
        if own_user and ("user" not in names or scope is None):
            raise ValueError(f"{pattern} has no {{user}} or no scope")
        node = self._grow(segments)
        if method in node.routes:
            raise ValueError(f"{method} {pattern} is there already")
        route = Route(
            method=method,
            pattern=pattern,
            handler=handler,
            scope=scope,
            own_user=own_user,
            body_limit=body_limit,
            cors=cors,
            rate=rate,
            json=json,
            ends_with_client=ends_with_client,
            authorize=authorize,
            refuse=refuse,
            placeholders=names,
        )
        node.routes[method] = route
        return route

    def routes(self) -> Iterator[Route]:
        """Every route."""
        waiting = [self._root]
        while waiting:
            node = waiting.pop()
            yield from node.routes.values()
            waiting += node.literals.values()
            waiting += [node.placeholder] if node.placeholder is not None else []

    def match(self, method: str, segments: Sequence[str] | None) -> Match:
        """The route for a method and the decoded segments of a path.

        Raises 404 `unknown_path`, or 405 `method` with `Allow`. OPTIONS on a path with a CORS
        route is a match without a route: a preflight.
        """
        values: list[str] = []
        node = None if segments is None else _find(self._root, segments, 0, values)
        if node is None:
            raise errors.service_error(404, "unknown_path")
        if (
            method == OPTIONS
            and method not in node.routes
            and any(other.cors for other in node.routes.values())
        ):
            return Match(None, {})
        route = node.routes.get(method) or node.routes.get(ANY)
        if route is not None:
            return Match(route, dict(zip(route.placeholders, values, strict=True)))
        raise errors.method_not_allowed(sorted(node.routes))

    def shown(self, segments: Sequence[str] | None) -> str:
        """What may be logged of a path that no route takes: words of our own, since anything else
        may be whatever somebody has pasted there."""
        shown = ""
        for segment in (MASK,) if segments is None else segments:
            if segment in self._words:
                shown += f"/{segment}"
            elif not shown.endswith(f"/{MASK}"):
                shown += f"/{MASK}"
        return shown or "/"

    def _grow(self, segments: Sequence[str]) -> _Node:
        node = self._root
        for segment in segments:
            if segment.startswith("{"):
                node.placeholder = node.placeholder or _Node()
                node = node.placeholder
            else:
                self._words.add(segment)
                node = node.literals.setdefault(segment, _Node())
        return node


def _is_below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")


def _find(node: _Node, segments: Sequence[str], at: int, values: list[str]) -> _Node | None:
    """The node with routes that the segments from `at` on lead to; fills in `values`."""
    if at == len(segments):
        return node if node.routes else None
    segment = segments[at]
    literal = node.literals.get(segment)
    if literal is not None:
        found = _find(literal, segments, at + 1, values)
        if found is not None:
            return found
    if node.placeholder is None or not segment:
        return None
    values.append(segment)
    found = _find(node.placeholder, segments, at + 1, values)
    if found is None:
        values.pop()
    return found
