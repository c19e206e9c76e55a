"""The attributes of a gateway push under our own keys (push.md, A.2, PU-30, PU-34)."""

import attrs
import pytest
from tests.fakes.pushes import ALERT, ANDROID, APPLE, RULES, gateway

from tocsin.wire.push.attributes import KEYS, is_silent, names, read, visible


def test_names_of_callers_become_ours() -> None:
    """Every attribute of A.2 has its key, also a badge of 0; the rest is not there (PU-30)."""
    asked = gateway(
        "NotifyTextMessage",
        Selector="S",
        Id="I",
        UserName="u",
        UserDisplayName="d",
        ContentType="c",
        ThreadId="t",
        Message="m",
        Badge=0,
        Sound="s",
        Ttl=0,
        Extra={"x": 1},
    )
    values = ("NotifyTextMessage", "S", "I", "u", "d", "c", "t", "m", 0, "s")
    assert read(asked) == {**dict(zip(KEYS, values, strict=True)), "expires_at_once": True}


def test_what_is_empty_was_not_given() -> None:
    """Empty attributes give no keys (PU-30)."""
    asked = gateway("NotifyTextMessage", Selector="", Sound="", Message="\x00", UserDisplayName="")
    assert read(asked) == {"verb": "NotifyTextMessage"}


def test_a_display_name_wins() -> None:
    """The name shown is UserDisplayName, else UserName (A.2)."""
    both = gateway("NotifyTextMessage", UserName="u", UserDisplayName="d")
    one = gateway("NotifyTextMessage", UserName="u", UserDisplayName="")
    assert (read(both)["name"], read(one)["name"]) == ("d", "u")
    assert (read(both)["from"], read(one)["from"]) == ("u", "u")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a\tb\nc", "a\tb\nc"), ("a\x00\r\x1f\x0b\x0cb", "ab"), ("\x7f\x80é", "\x7f\x80é")],
)
def test_visible_text(text: str, expected: str) -> None:
    """C0 controls but tab and newline are dropped, nothing else is (PU-30)."""
    assert visible(text) == expected


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("message/imdn+xml", True),
        ("Message/IMDN+xml", True),
        ("message/imdn+xml; charset=utf-8", True),
        ("message/cpim", False),
        ("text/plain", False),
        ("image/png", True),
        ("imagery/png", False),
    ],
)
def test_silent_content_types(content_type: str, expected: bool) -> None:
    """A content type matches as it stands or as one of `type/*` (A.2)."""
    silent = (*RULES.silent_content_types, "image/*")
    assert is_silent({"ct": content_type}, silent) is expected
    assert not is_silent({}, silent)


def test_names_by_platform() -> None:
    """`from` is forbidden in FCM data, but not in what FCM passes on to APNs (PU-30, PU-33)."""
    assert [names(app)["from"] for app in (ALERT, APPLE, ANDROID)] == ["from", "from", "sender"]


@pytest.mark.parametrize("renamed", [{"sel": "aps"}, {"sel": "id"}, {"sel": "x", "id": "x"}])
def test_names_that_cannot_be(renamed: dict[str, str]) -> None:
    """Names that clash or are the provider's change nothing, so that nothing is lost (PU-30)."""
    assert names(attrs.evolve(ALERT, key_names=renamed)) == names(ALERT)
