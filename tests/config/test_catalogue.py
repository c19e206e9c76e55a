"""tocsin.config.catalogue: every option with its path, and what was probably meant."""

import pytest

from tocsin.config import Config
from tocsin.config.catalogue import entries, suggestion

KNOWN = [entry.path for entry in entries(Config)]


def test_entries_cover_nested_and_repeated_tables() -> None:
    """Options of tables within tables and of tables the operator names are all listed."""
    assert {
        "state_dir",
        "listen",
        "listen.public",
        "auth.builtin.enabled",
        "auth.builtin.clients.<name>.secret",
        "limits.body",
        "limits.backlog",
    } <= set(KNOWN)
    assert len(KNOWN) == len(set(KNOWN))


@pytest.mark.parametrize(
    ("unknown", "meant"),
    [
        ("listen.publik", "listen.public"),
        ("lisen", "listen"),
        ("echo_secrets", "webhooks.echo_secrets"),
        ("auth.buildin.enabled", "auth.builtin.enabled"),
        ("drain.x", None),
        ("qqqq", None),
    ],
)
def test_suggestions(unknown: str, meant: str | None) -> None:
    """A slip of the pen, or the right name in the wrong table, is recognised; nonsense is not."""
    assert suggestion(unknown, KNOWN) == meant
