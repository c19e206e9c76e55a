"""Options of `[push]` that are wrong for themselves."""

from typing import Any

import pytest

from tocsin.delivery.pushsettings import PushSettings


@pytest.mark.parametrize("key", ["", "two words", "1st", "a" * 65])
def test_voip_root_keys_are_root_keys(key: str) -> None:
    """What can be no root key stands in no list of them (CH-73, CH-100)."""
    with pytest.raises(ValueError, match="no root key"):
        PushSettings(voip_root_keys=["gone", key])


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"roots": {"gone": "loud"}}, '"gone" must be one of alert, background, skip'),
        ({"roots": {"two words": "skip"}}, '"two words" is no root key'),
        ({"alert_root_keys": [""]}, '"" is no root key'),
        ({"pass_verbs": ["NotifyTextMessage"]}, "is a verb the gateway knows"),
        ({"pass_verbs": ["Notify me"]}, '"Notify me" must be a letter, then'),
        ({"silent_content_types": ["text"]}, '"text" is no content type'),
        ({"silent_content_types": ["*/*"]}, "is no content type"),
        ({"trusted_networks": ["10.0.0.1/8"]}, "'10.0.0.1/8' is not a network"),
        ({"trusted_networks": ["local"]}, "'local' is not a network"),
    ],
)
def test_what_is_impossible(options: dict[str, Any], problem: str) -> None:
    """Each list and table says which of its entries is wrong (PU-9, PU-11, PU-20, PU-38)."""
    with pytest.raises(ValueError, match=problem):
        PushSettings(**options)


def test_what_is_possible() -> None:
    """Verbs of our own, all of a type, a peer without an address, each row decided."""
    settings = PushSettings(
        pass_verbs=["NotifyDoor"],
        silent_content_types=["Text/*", "application/vnd.x+json"],
        trusted_networks=["unix", "10.0.0.0/8", "2001:db8::/32"],
        roots={"gone": "alert", "wrtcsEventNotification": "skip"},
    )
    assert settings.roots["gone"] == "alert"
