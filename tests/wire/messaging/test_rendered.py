"""One encoding for many receivers (section 6)."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire.messaging.rendered import Rendered, rendered

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(st.none() | TEXT, st.none() | st.just("k3:1"), TEXT)
def test_completed(reply_to: str | None, cursor: str | None, value: str) -> None:
    """Each receiver gets JSON with his own `reply-to` and cursor, whatever stands in them, and
    without those that he has not (MS-18, MS-31)."""
    message = rendered("composing", {"from": value, "channel-id": None})
    mine = {
        name: one for name, one in (("reply-to", reply_to), ("cursor", cursor)) if one is not None
    }
    text = orjson.loads(message.text(reply_to=reply_to, cursor=cursor))
    assert text == {"type": "composing", "from": value, **mine}
    mine.pop("reply-to", None)
    assert orjson.loads(message.bare(cursor=cursor)) == {"from": value, **mine}


def test_encoded_once() -> None:
    """What all receivers share is the very same text, and can be kept as it is."""
    message = rendered("delivery", {"message-id": "m", "n": 1})
    assert message == Rendered("delivery", b'"message-id":"m","n":1')
    first, second = (message.text(cursor=cursor) for cursor in ("k:1", "q:77"))
    assert first.endswith(message.members + b"}")
    assert second.endswith(message.members + b"}")


def test_surrogates_cannot_come_out() -> None:
    """Text that is not Unicode is a bug upstream and never reaches a client."""
    with pytest.raises(TypeError):
        rendered("ack", {"id": "\ud800"})
