"""URLs below a prefix: what exists, what is 404, judged by a naive matcher too."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire.sockjs.urls import METHODS, TRANSPORTS, Kind, Place, is_on, locate

OF_SESSIONS = [
    Kind.WEBSOCKET,
    Kind.XHR,
    Kind.XHR_STREAMING,
    Kind.XHR_SEND,
    Kind.EVENTSOURCE,
    Kind.HTMLFILE,
    Kind.JSONP,
    Kind.JSONP_SEND,
]
LONG = "x" * 128


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("", Place(Kind.GREETING)),
        ("/", Place(Kind.GREETING)),
        ("/info", Place(Kind.INFO)),
        ("/info/", Place(Kind.INFO)),
        ("/websocket", Place(Kind.RAW_WEBSOCKET)),
        ("/websocket/", Place(Kind.RAW_WEBSOCKET)),
        ("/iframe.html", Place(Kind.IFRAME)),
        ("/iframe-a.html", Place(Kind.IFRAME)),
        ("/iframe-.html", Place(Kind.IFRAME)),
        ("/iframe-0.1.2.html", Place(Kind.IFRAME)),
        ("/iframe-0.1.2abc-dirty.2144.html", Place(Kind.IFRAME)),
        ("/iframe_x.html/", Place(Kind.IFRAME)),
        ("/a/b/xhr", Place(Kind.XHR, "b")),
        ("/a/b/xhr/", Place(Kind.XHR, "b")),
        ("/_/1/eventsource", Place(Kind.EVENTSOURCE, "1")),
        ("/1/_/htmlfile", Place(Kind.HTMLFILE, "_")),
        ("/abcdefgh_i-j%20/abcdefg_i-j%20/jsonp", Place(Kind.JSONP, "abcdefg_i-j%20")),
        ("/a%2Fb/c%2E/xhr_send", Place(Kind.XHR_SEND, "c%2E")),
        ("/é/è/jsonp_send", Place(Kind.JSONP_SEND, "è")),
        ("/info/websocket/websocket", Place(Kind.WEBSOCKET, "websocket")),
        (f"/{LONG}/{LONG}/xhr_streaming", Place(Kind.XHR_STREAMING, LONG)),
    ],
)
def test_what_exists(path: str, place: Place) -> None:
    """Every kind of URL, escapes left as they are, one slash overlooked (SJ-1)."""
    assert locate(path) == place


@pytest.mark.parametrize(
    "path",
    [
        "//",
        "a",
        "/a",
        "/a/a",
        "/a/a/",
        "/a/a//",
        "/a/a/xhr//",
        "//a/xhr",
        "/a//xhr",
        "///xhr",
        "/a.b/c/xhr",
        "/a/b.c/xhr",
        "/a/b/xhr\n",
        "/a/b/c/xhr",
        "/a/b/XHR",
        "/a/b/raw",
        "/a/b/info",
        "/a/b/xhr_sent",
        f"/a/{LONG}x/xhr",
        f"/{LONG}x/a/xhr",
        "/info//",
        "/Info",
        "/websocket//",
        "/iframe.htm",
        "/iframe",
        "/IFRAME.HTML",
        "/iframe.HTML",
        "/iframe.xml",
        "/iframe-/.html",
        "/iframexhtml",
        "/iframe-A.html",
    ],
)
def test_what_does_not(path: str) -> None:
    """Anything else is nothing (SJ-2)."""
    assert locate(path) is None


PARTS = st.one_of(
    st.sampled_from(["", "a", "a.b", "%2F", "info", "websocket", "iframe.html", LONG, LONG + "x"]),
    st.sampled_from([kind.value for kind in Kind]),
    st.text("ab./%\n_", max_size=4),
)


def naive(path: str) -> Place | None:
    """Segment by segment, as section 1 says it."""
    first, *parts = path.removesuffix("/").split("/")
    if first:
        return None
    match parts:
        case []:
            return Place(Kind.GREETING)
        case ["info"]:
            return Place(Kind.INFO)
        case ["websocket"]:
            return Place(Kind.RAW_WEBSOCKET)
        case [page] if page.startswith("iframe") and page.endswith(".html"):
            version = page[len("iframe") : -len(".html")]
            known = "0123456789-._abcdefghijklmnopqrstuvwxyz"
            return Place(Kind.IFRAME) if set(version) <= set(known) else None
        case [server, session, word]:
            kinds = [kind for kind in OF_SESSIONS if kind.value == word]
            if kinds and all(0 < len(id_) <= 128 and "." not in id_ for id_ in (server, session)):
                return Place(kinds[0], session)
    return None


@given(st.lists(PARTS, max_size=6).map("/".join))
def test_like_the_naive_matcher(path: str) -> None:
    """The expressions match what a reading of section 1 by segments does (SJ-1, SJ-2)."""
    assert locate(path) == naive(path)


def test_every_kind_says_its_methods() -> None:
    """So that 405 can be told with `Allow` (SJ-2)."""
    assert set(METHODS) == set(Kind)
    assert METHODS[Kind.WEBSOCKET] == METHODS[Kind.RAW_WEBSOCKET] == ("GET",)
    assert METHODS[Kind.XHR] == METHODS[Kind.XHR_SEND] == ("POST", "OPTIONS")
    assert METHODS[Kind.INFO] == ("GET", "OPTIONS")
    assert METHODS[Kind.GREETING] == METHODS[Kind.IFRAME] == ("GET", "HEAD")
    assert METHODS[Kind.EVENTSOURCE] == METHODS[Kind.HTMLFILE] == METHODS[Kind.JSONP] == ("GET",)
    assert METHODS[Kind.JSONP_SEND] == ("POST",)


@pytest.mark.parametrize(
    ("transport", "kinds"),
    [
        ("websocket", {Kind.WEBSOCKET, Kind.RAW_WEBSOCKET}),
        ("xhr-streaming", {Kind.XHR_STREAMING, Kind.XHR_SEND}),
        ("xhr-polling", {Kind.XHR, Kind.XHR_SEND}),
        ("eventsource", {Kind.EVENTSOURCE, Kind.XHR_SEND}),
        ("htmlfile", {Kind.HTMLFILE, Kind.XHR_SEND}),
        ("jsonp-polling", {Kind.JSONP, Kind.JSONP_SEND}),
        ("iframe", {Kind.IFRAME}),
    ],
)
def test_what_a_transport_switches_on(transport: str, kinds: set[Kind]) -> None:
    """Exactly the URLs of section 7's table; greeting and `/info` are always there (SJ-3)."""
    on = {kind for kind in Kind if is_on(kind, frozenset({transport}))}
    assert on == kinds | {Kind.GREETING, Kind.INFO}
    assert transport in TRANSPORTS
