"""Words of closed sets."""

from tocsin.wire.messaging.words import RECEIPTS, MessageStatus


def test_statuses_rise() -> None:
    """stored, received, displayed, read, in this order (MS-53); all but the first are for the
    recipient to say."""
    assert [status.word for status in sorted(MessageStatus)] == [
        "stored",
        "received",
        "displayed",
        "read",
    ]
    assert [RECEIPTS[word] for word in ("received", "displayed", "read")] == [
        MessageStatus.RECEIVED,
        MessageStatus.DISPLAYED,
        MessageStatus.READ,
    ]
    assert "stored" not in RECEIPTS
