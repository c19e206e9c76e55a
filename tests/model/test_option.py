"""tocsin.model.option: what a declared option lets through."""

import attrs
import pytest

from tocsin.model.option import ALLOWED, HELP, SECRET, option, section


def _even(value: int) -> str | None:
    return "must be even" if value % 2 else None


@attrs.frozen
class Inner:
    size: int = option(2, "A size.", minimum=1, maximum=20_000, check=_even)
    names: list[str] = option(["a"], "Names.", choices=("a", "b"))
    key: str | None = option(None, "A key.", secret=True, choices=("x",))


@attrs.frozen
class Outer:
    inner: Inner = section(Inner, "Inside.")


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"size": 0}, "must be at least 1"),
        ({"size": 20_002}, "must be at most 20_000"),
        ({"size": 3}, "must be even"),
        ({"names": ["a", "c"]}, "must be one of a, b"),
        ({"key": "y"}, "must be one of x"),
    ],
)
def test_impossible_values_are_refused(values: dict[str, object], problem: str) -> None:
    """Bounds, choices (of every element) and the own check all refuse, in the operator's words."""
    with pytest.raises(ValueError, match=problem):
        Inner(**values)  # type: ignore[arg-type] # the point of the table


def test_defaults_are_not_shared() -> None:
    """A list default is a fresh list in each instance."""
    first, second = Inner(), Inner()
    first.names.append("b")
    assert second.names == ["a"]


def test_what_the_reference_needs_is_there() -> None:
    """Help, bounds and the secret mark stand in the field's metadata; secrets have no repr."""
    fields = attrs.fields(Inner)
    assert fields.size.metadata[HELP] == "A size."
    assert fields.size.metadata[ALLOWED] == "1 to 20_000"
    assert fields.key.metadata[SECRET]
    assert "key" not in repr(Outer(Inner(key="x")))
