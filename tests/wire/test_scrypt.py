"""Hashes of secrets."""

import hashlib

import pytest

from tocsin.wire.scrypt import ScryptHash, hashed, parsed

SALT = bytes(range(16))


def test_a_hash_survives_its_text_and_knows_its_secret() -> None:
    """CH-14: what is printed can be configured, and matches that one secret only."""
    text = str(hashed("s3cret", SALT))
    assert text.startswith("$scrypt$ln=14,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$")
    assert "=" not in text.split("$", 3)[3]
    assert parsed(text).matches("s3cret")
    assert not parsed(text).matches("s3cret ")
    assert not parsed(text).matches("")


def test_published_vector() -> None:
    """RFC 7914 section 12: the parameters mean what everybody means by them."""
    digest = "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
    digest += "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
    vector = ScryptHash(b"SodiumChloride", bytes.fromhex(digest), ln=14, r=8, p=1)
    assert parsed(str(vector)) == vector
    assert vector.matches("pleaseletmein")


def test_other_costs_are_honoured() -> None:
    """CH-14: a hash made elsewhere with other costs works as it says."""
    digest = hashlib.scrypt(b"pw", salt=SALT, n=1 << 10, r=4, p=2, dklen=16)
    assert parsed(str(ScryptHash(SALT, digest, ln=10, r=4, p=2))).matches("pw")


GOOD = str(ScryptHash(SALT, bytes(32)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain password",
        GOOD + "=",
        GOOD + "\n",
        " " + GOOD,
        GOOD.replace("ln=14", "ln=9"),
        GOOD.replace("ln=14", "ln=21"),
        GOOD.replace("ln=14,r=8", "ln=20,r=32"),
        GOOD.replace("r=8", "r=0"),
        GOOD.replace("p=1", "p=17"),
        GOOD.replace("p=1", "p=1,x=1"),
        GOOD.replace("scrypt", "bcrypt"),
        str(ScryptHash(SALT[:4], bytes(32))),
        str(ScryptHash(SALT, bytes(8))),
        "$scrypt$ln=14,r=8,p=1$AAECA$AAECA",
    ],
)
def test_malformed_hashes_are_refused(text: str) -> None:
    """CH-14: a hash that could not work, or would cost too much, is named at start."""
    with pytest.raises(ValueError, match=r"hash|costs|base64|length"):
        parsed(text)


def test_digest_is_not_shown() -> None:
    """OP-17: a hash does not end up in a log by its repr."""
    assert "digest" not in repr(hashed("s3cret", SALT))
