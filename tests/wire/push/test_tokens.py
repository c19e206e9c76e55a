"""Tests of how device tokens are shown."""

from tocsin.wire.push.tokens import fingerprint


def test_a_fingerprint_is_short_and_always_the_same() -> None:
    """PU-43: the first 8 hex digits of the token's SHA-256 (FIPS 180-2's example, "abc")."""
    assert fingerprint("abc") == "ba7816bf"


def test_tokens_are_told_apart() -> None:
    """PU-43: two tokens of one length have two fingerprints."""
    assert fingerprint("0" * 64) != fingerprint("1" * 64)
