"""Integer members of client JSON (channels.md, CH-4)."""


def integer(value: object) -> int | None:
    """A number without a fraction, or a string of digits; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    return None
