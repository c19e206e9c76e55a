"""Routes, and which one a path finds."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.errors import RequestError
from tocsin.server.router import ANY, Match, Route, Router
from tocsin.wire.request import Request
from tocsin.wire.response import Response


async def handler(_request: Request) -> Response:
    await trio.lowlevel.checkpoint()
    return Response(204)


def router(*patterns: str, method: str = "GET") -> Router:
    routes = Router()
    for pattern in patterns:
        routes.add(method, pattern, handler, scope=None)
    return routes


def found(routes: Router, *segments: str, method: str = "GET") -> tuple[str, dict[str, str]]:
    match = routes.match(method, segments)
    assert match.route is not None
    return match.route.pattern, match.path_values


def test_literals_beat_placeholders() -> None:
    """A literal segment wins; where it leads nowhere the placeholder is tried."""
    routes = router("/{a}/x", "/me/y", "/{b}/y", "/me/{c}")
    assert found(routes, "me", "y") == ("/me/y", {})
    assert found(routes, "me", "x") == ("/me/{c}", {"c": "x"})
    assert found(routes, "you", "x") == ("/{a}/x", {"a": "you"})
    assert found(routes, "you", "y") == ("/{b}/y", {"b": "you"})
    deeper = router("/me/a/b", "/{x}/a/c")
    assert found(deeper, "me", "a", "c") == ("/{x}/a/c", {"x": "me"})


@pytest.mark.parametrize(
    "segments", [None, (), ("a",), ("a", ""), ("", "b"), ("a", "b", "c"), ("A", "c")]
)
def test_unknown_paths(segments: tuple[str, ...] | None) -> None:
    """What no pattern covers is 404 `unknown_path`; a placeholder is never empty (CH-8)."""
    with pytest.raises(RequestError) as caught:
        router("/a/b", "/a/{x}/", "/{y}/b").match("GET", segments)
    assert (caught.value.status, caught.value.variables) == (404, ("unknown_path",))


def test_only_our_own_words_are_shown() -> None:
    """SE-7: of a path that leads nowhere the log has what cannot be a secret, and no more of it
    the longer it is."""
    routes = router("/v1/{user}/channels", "/v1/tokens")
    assert routes.shown(("v1", "s3cret", "s3cret", "channels")) == "/v1/***/channels"
    assert routes.shown(("s3cret",) * 1000) == "/***"
    assert routes.shown(("V1", "{user}")) == "/***"
    assert routes.shown(None) == "/***"
    assert routes.shown(()) == "/"


def test_the_root_is_a_path() -> None:
    """`/` can be a route."""
    assert found(router("/")) == ("/", {})


def test_wrong_method() -> None:
    """A known path with another method is 405 with a sorted Allow (CH-8)."""
    routes = router("/a", method="PUT")
    routes.add("GET", "/a", handler, scope=None)
    with pytest.raises(RequestError) as caught:
        routes.match("DELETE", ("a",))
    assert (caught.value.status, caught.value.headers) == (405, (("Allow", "GET, PUT"),))


def test_preflight() -> None:
    """OPTIONS is a preflight where a route has CORS, else a wrong method (CH-6)."""
    routes = router("/a")
    routes.add("GET", "/plain", handler, scope=None, cors=False)
    assert routes.match("OPTIONS", ("a",)) == Match(None, {})
    with pytest.raises(RequestError) as caught:
        routes.match("OPTIONS", ("plain",))
    assert caught.value.status == 405


def test_any_method() -> None:
    """A route for every method takes those without one of their own, and leaves preflights to
    CORS (CH-6, PU-4)."""
    routes = router("/a", method=ANY)
    routes.add("POST", "/a", handler, scope="push")
    methods = {}
    for method in ("GET", "HEAD", "DELETE", "PATCH", "*", "POST"):
        route = routes.match(method, ("a",)).route
        assert route is not None
        methods[method] = route.method
    assert methods.pop("POST") == "POST"
    assert set(methods.values()) == {ANY}
    assert routes.match("OPTIONS", ("a",)) == Match(None, {})


def test_mistakes_are_found_when_routes_are_added() -> None:
    """A route twice, or `own_user` that could not be checked, is refused at once."""
    routes = router("/a/{user}")
    with pytest.raises(ValueError, match="already"):
        routes.add("GET", "/a/{other}", handler, scope=None)
    for pattern, scope in (("/b", "channels"), ("/b/{user}", None)):
        with pytest.raises(ValueError, match="no scope"):
            routes.add("GET", pattern, handler, scope=scope, own_user=True)


@given(st.sets(st.lists(st.sampled_from(["a", "b", "{x}"]), max_size=4).map(tuple), max_size=12))
def test_walking_all_routes(paths: set[tuple[str, ...]]) -> None:
    """`routes` yields exactly what was added, and each route finds itself (SE-2's walk)."""
    routes = Router()
    added = {(method, "/" + "/".join(path)) for path in paths for method in ("GET", "PUT")}
    for method, pattern in added:
        routes.add(method, pattern, handler, scope="channels")
    assert {(route.method, route.pattern) for route in routes.routes()} == added
    for path in paths:
        assert found(routes, *path)[0] == "/" + "/".join(path)


def test_mounts() -> None:
    """Whoever mounts a prefix gets everything at and below it, undecoded, and nothing beside."""
    routes = Router()

    def mount(_request: Request) -> Route:
        raise NotImplementedError

    routes.mount("/echo", mount)
    for target in ("/echo", "/echo/", "/echo?a", "/echo//%zz/a?b/c", "/echo/%2F"):
        assert routes.mounted(target) is mount
    for target in ("/", "/echoes", "/ech", "/Echo", "/a/echo", "/%65cho", "echo"):
        assert routes.mounted(target) is None


@pytest.mark.parametrize("prefix", ["/echo", "/echo/a", "/", "echo", "/echo/", ""])
def test_mounts_do_not_overlap(prefix: str) -> None:
    """A prefix within another, or none at all, is a mistake found at once."""
    routes = Router()
    routes.mount("/echo", NotImplemented)
    with pytest.raises(ValueError, match=r"taken|no prefix"):
        routes.mount(prefix, NotImplemented)
