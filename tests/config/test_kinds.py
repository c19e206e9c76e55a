"""tocsin.config.kinds: types in words."""

from typing import Any

import pytest

from tocsin.config.kinds import describe


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (str, "a string"),
        (int | None, "a whole number"),
        (str | list[str], "a string or a list of strings"),
        (list[int | float], "a list of whole numbers or numbers"),
        (list[list[bool]], "a list of lists of true or false"),
        (dict[str, str], "a table"),
    ],
)
def test_types_in_words(kind: Any, words: str) -> None:
    """Each supported type has words an operator understands."""
    assert describe(kind) == words
