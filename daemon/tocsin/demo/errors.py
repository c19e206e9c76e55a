"""Why a demo cannot go on."""

from tocsin.model.errors import TocsinError


class DemoError(TocsinError):
    """The daemon did not start, or refused what it should not; the message says it in a line."""
