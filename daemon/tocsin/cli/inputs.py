"""What commands are given in files and on the standard input."""

import click


def text(data: bytes, source: str) -> str:
    """It without the mark that some editors put in front; a usage error if it is no text."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise click.UsageError(f"{source} is not UTF-8 text") from None
