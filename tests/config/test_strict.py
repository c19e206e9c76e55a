"""tocsin.config.strict: types that Config itself does not use yet."""

from pathlib import Path
from typing import Any

import attrs
import pytest
from cattrs import BaseValidationError

from tocsin.config.problems import describe_problems
from tocsin.config.secrets import SecretSource
from tocsin.config.strict import make_converter
from tocsin.model.option import option, section


@attrs.frozen
class Leaf:
    must: str
    size: int | None = option(None, "A size.", minimum=1)


@attrs.frozen
class Root:
    leaf: Leaf | None = option(None, "A table that may be absent.")
    words: dict[str, str] = option({}, "Free keys.")
    mixed: list[int | float] = option([1, 2.5], "Both kinds of number.")
    leaves: dict[str, Leaf] = section(dict, "Tables by name.")
    rule: str | dict[str, str] = option("x", "One for all, or by name.")


def structured(value: dict[str, Any]) -> Root:
    converter = make_converter(SecretSource(Path(), {"WORD": "hidden"}))
    return converter.structure(value, Root)


def test_every_supported_type() -> None:
    """Optional tables, free keys, mixed numbers and tables by name arrive as they are."""
    root = structured(
        {
            "leaf": {"must": "x"},
            "words": {"a": {"env": "WORD"}},
            "mixed": [1, 2.5],
            "leaves": {"one": {"must": "y", "size": 3}},
        }
    )
    assert root == Root(Leaf("x"), {"a": "hidden"}, [1, 2.5], {"one": Leaf("y", 3)})
    assert [type(number) for number in root.mixed] == [int, float]


def test_mistakes_deep_inside() -> None:
    """Paths lead through optional tables, free keys and list elements to the mistake."""
    with pytest.raises(BaseValidationError) as caught:
        structured(
            {
                "leaf": {"size": 0},
                "words": {"a": 1},
                "mixed": [1, True],
                "leaves": {"one": {"must": "y", "sise": 3}},
            }
        )
    assert describe_problems(caught.value, Root) == [
        "leaf.must: is missing",
        "leaf.size: must be at least 1",
        "words.a: must be a string, not 1",
        "mixed[1]: must be a whole number or a number, not true",
        "leaves.one.sise: unknown option, did you mean leaves.one.size?",
    ]


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("all", "all"),
        ({"env": "WORD"}, "hidden"),
        ({"a": "x", "b": {"env": "WORD"}}, {"a": "x", "b": "hidden"}),
        ({"environment": "WORD"}, {"environment": "WORD"}),
        ({}, {}),
    ],
)
def test_a_string_or_a_table(written: object, found: object) -> None:
    """A table is taken for a string that stands elsewhere only where it has the form of one."""
    assert structured({"rule": written}).rule == found


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ({"a": 1}, "rule.a: must be a string, not 1"),
        ({"env": "NONE"}, "rule: the environment variable NONE is not set"),
        (["x"], "rule: must be a string or a table, not a list"),
    ],
)
def test_neither_a_string_nor_a_table(written: object, problem: str) -> None:
    """A mistake is told where it is."""
    with pytest.raises(BaseValidationError) as caught:
        structured({"rule": written})
    assert describe_problems(caught.value, Root) == [problem]
