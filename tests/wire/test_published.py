"""tocsin.wire.published: the answers of the publish API (CH-110, CH-111, CH-115)."""

import pytest

from tocsin.model.errors import invalid
from tocsin.wire.published import accepted, own_id, rejected


@pytest.mark.parametrize(
    ("channels", "status"), [(2, "accepted"), (1, "accepted"), (0, "no_channel")]
)
def test_the_status_says_whether_anybody_is_there(channels: int, status: str) -> None:
    """Of a first and of a repeated one, which alone says so (CH-111, CH-115)."""
    first = {"id": "e1", "channels": channels, "status": status}
    assert accepted("e1", channels) == first
    assert accepted("e1", channels, duplicate=True) == {**first, "duplicate": True}


def test_what_is_rejected_says_why() -> None:
    """The answer of CH-110's example."""
    assert rejected(None, invalid("user")) == {
        "id": None,
        "channels": 0,
        "status": "rejected",
        "error": {
            "messageId": "SVC0002",
            "text": "Invalid input value for message part %1",
            "variables": ["user"],
        },
    }


@pytest.mark.parametrize(
    ("thing", "id_"),
    [({"id": "e1"}, "e1"), ({"id": "a b"}, None), ({"id": 5}, None), ({}, None), ([], None)],
)
def test_an_item_keeps_its_id_if_it_has_one(thing: object, id_: str | None) -> None:
    """Only what may be an id is repeated in an answer (CH-110)."""
    assert own_id(thing) == id_
