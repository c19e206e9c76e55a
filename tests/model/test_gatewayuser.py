"""The users that stand for an app and a device token (push.md, PU-23)."""

import pytest

from tocsin.model.gatewayuser import app_of, gateway_user, is_reserved
from tocsin.model.principal import Principal

TOKEN = "ab" * 32


def test_one_for_each_app_and_token() -> None:
    """Another app or token is another user, and the token cannot be read off it (PU-23)."""
    users = {gateway_user(app, token) for app in ("a", "b") for token in (TOKEN, "cd" * 32)}
    assert len(users) == 4
    assert not any(TOKEN in user or "cd" * 32 in user for user in users)


@pytest.mark.parametrize("app", ["com.example.app", "a\x01b", ""])
def test_the_app_can_be_read_off(app: str) -> None:
    """Operators see which app it is; a real user is none (PU-23)."""
    assert app_of(gateway_user(app, TOKEN)) == app
    assert app_of("alice") is None
    assert app_of("") is None


def test_nobody_may_act_for_them() -> None:
    """Not even an operator's token reaches their channels through the channels API (PU-23)."""
    user = gateway_user("com.example.app", TOKEN)
    admin = Principal("root", frozenset({"admin"}), "p", "s", "t", 2e9)
    assert is_reserved(user)
    assert not admin.is_user(user)
    assert admin.is_user("alice")
    assert not is_reserved("alice")
    assert not is_reserved("")
