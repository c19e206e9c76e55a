"""Targets: segments, parameters, and what may be logged."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire.request import Request, are_repeated, origin_form, split_path

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10)


def request(target: str) -> Request:
    return Request("GET", target, split_path(target), {})


@given(st.lists(_TEXT, max_size=5))
def test_segments_round_trip(segments: list[str]) -> None:
    """Segments quoted by a client come back as they were, slashes inside included (CH-3)."""
    assert split_path("/" + "/".join(quote(s, safe="") for s in segments)) == tuple(segments)


@pytest.mark.parametrize(
    ("target", "segments"),
    [
        ("/", ()),
        ("/a/b/", ("a", "b")),
        ("/a//b", ("a", "", "b")),
        ("/a//", ("a", "")),
        ("/+1613/a@x?c/d", ("+1613", "a@x")),
        ("/%2B1613/a%40x", ("+1613", "a@x")),
        ("/%252B", ("%2B",)),
        ("/a%2Fb", ("a/b",)),
        ("/%", None),
        ("/%4", None),
        ("/%zz/%41", None),
        ("/%ff", None),
        ("/%ed%a0%80", None),
        ("*", None),
        ("a", None),
    ],
)
def test_segments(target: str, segments: tuple[str, ...] | None) -> None:
    """Raw slashes split, each segment is decoded once, `+` stays, bad escapes match nothing."""
    assert split_path(target) == segments


@pytest.mark.parametrize(
    ("target", "origin"),
    [
        ("/a?b", "/a?b"),
        ("http://h:1/a?b", "/a?b"),
        ("HTTPS://h", "/"),
        ("http://h?b=/c", "/?b=/c"),
        ("ftp://h/a", "ftp://h/a"),
        ("h:443", "h:443"),
    ],
)
def test_absolute_form(target: str, origin: str) -> None:
    """A target with scheme and host means its path (RFC 9112, 3.2.2)."""
    assert origin_form(target) == origin


def test_params() -> None:
    """The first of repeated parameters counts, `+` stays a plus, bad bytes do no harm (CH-3)."""
    params = request("/a?x=1&x=2&y=a+b%2B&z&=e&u=%ff").params
    assert params == {"x": "1", "y": "a+b+", "z": "", "": "e", "u": "\ufffd"}
    assert request("/a").params == {}


@pytest.mark.parametrize(
    "name",
    [
        *("access_token", "access%5Ftoken", "ACCESS_TOKEN", "a;access_token"),
        *("password", "client_secret", "x-webhookSecret", "DeviceToken", "api%4bey"),
    ],
)
def test_tokens_are_never_loggable(name: str) -> None:
    """What is a secret by its name is masked in the query, however that is written (CH-10,
    OP-17)."""
    shown = request(f"/a?x=1&{name}=s3cret=s3cret&access_token=s3cret").loggable_target
    assert "s3cret" not in shown
    assert shown.startswith("/a?x=1&")
    assert shown.endswith("=***")


def test_other_targets_are_logged_whole() -> None:
    """Nothing but the token is masked."""
    assert request("/a?x=1&y").loggable_target == "/a?x=1&y"
    assert request("/a").loggable_target == "/a"


@pytest.mark.parametrize(
    "path",
    [
        *("/push/report/main", "/pu%73h/report/main/", "/push/x", "/a%zz"),
        *("/pnm2/send", "/cpaas/auth/v1/token", "/auth/v1/token/"),
    ],
)
def test_reports_are_never_loggable(path: str) -> None:
    """Where apps report device tokens, and where bodies have secrets that somebody may put into
    the query, no value of that is shown, however the path or the parameters are spelled, nor where
    the path cannot be read (PU-24, CH-14)."""
    shown = request(f"{path}?key=s3cret&pushToken=s3cret=s3cret&s3cret").loggable_target
    assert shown == f"{path}?key=***&pushToken=***&***"


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [
        ("", False),
        ("Bearer a", False),
        ("Bearer a,b", False),
        ("Bearer a, b", False),
        ('Digest username="a", realm="b c"', False),
        ("Bearer a, Bearer b", True),
        ("Basic a,bearer b", True),
        (", Bearer b", True),
    ],
)
def test_repeated_credentials(credentials: str, expected: bool) -> None:
    """MS-4, CH-10: a comma alone is no second header, another scheme behind it is."""
    assert are_repeated(credentials) is expected
