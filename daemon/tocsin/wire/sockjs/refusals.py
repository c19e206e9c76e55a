"""What a request to a session is refused with: status 500 and one of these texts."""

import enum


class Refusal(enum.Enum):
    """The value is the body of the answer (SJ-18, SJ-21)."""

    PAYLOAD_EXPECTED = "Payload expected."
    BROKEN_JSON = "Broken JSON encoding."
    CALLBACK_REQUIRED = '"callback" parameter required'
    CALLBACK_INVALID = 'invalid "callback" parameter'
