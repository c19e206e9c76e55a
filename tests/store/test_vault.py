"""tocsin.store.vault: texts are sealed where they stand, and found by their digests."""

import base64

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.store.vault import PLAIN, Vault, master_key

KEY = bytes(range(32))
OTHER = bytes(32)


@pytest.mark.parametrize(
    "text",
    [
        *(KEY.hex(), KEY.hex().upper(), base64.b64encode(KEY).decode()),
        *(base64.b64encode(KEY).decode().rstrip("="), base64.urlsafe_b64encode(KEY).decode()),
    ],
)
def test_spellings_of_a_key(text: str) -> None:
    """Hex and base64, also that of URLs and without its padding, mean the same (SE-7)."""
    assert master_key(text) == KEY


@pytest.mark.parametrize(
    "text", ["", "secret", KEY.hex()[2:], "z" * 64, "A" * 44, f"{KEY.hex()}00", "ключ" * 11]
)
def test_what_is_no_key(text: str) -> None:
    """Anything else is refused without a word of it, since it may be a secret all the same."""
    with pytest.raises(ValueError, match="must be 32 bytes, in base64 or hex") as refused:
        master_key(text)
    assert not text or text not in str(refused.value)


@given(st.text(), st.text())
def test_a_text_comes_back_from_its_own_place(text: str, place: str) -> None:
    """What was sealed is opened by the same key at the same place, and is not to be seen in what
    is stored, which is another every time (SE-7)."""
    vault = Vault(KEY)
    sealed = vault.seal(place, text)
    assert sealed is not None
    assert Vault(KEY).open(place, sealed) == text
    assert sealed != vault.seal(place, text)
    assert len(text) < 8 or text not in sealed


@pytest.mark.parametrize("stored", ["", "planted", "AAAA", "A" * 80, "é"])
def test_what_was_never_sealed(stored: str) -> None:
    """A text that somebody has written into the store is not taken for a sealed one."""
    with pytest.raises(apsw.CorruptError, match=r"^here: is not what was sealed there$"):
        Vault(KEY).open("here", stored)


def test_another_place_and_another_key() -> None:
    """A sealed text that was moved, changed or sealed by another key is refused, and the error has
    nothing of it (SE-7)."""
    sealed = Vault(KEY).seal("channel/secret/a", "planted")
    assert sealed is not None
    changed = sealed[:-6] + ("B" if sealed[-6] == "A" else "A") + sealed[-5:]
    for vault, place, stored in (
        (Vault(KEY), "channel/secret/b", sealed),
        (Vault(KEY), "channel/previous/a", sealed),
        (Vault(OTHER), "channel/secret/a", sealed),
        (Vault(KEY), "channel/secret/a", changed),
    ):
        with pytest.raises(apsw.CorruptError) as refused:
            vault.open(place, stored)
        assert "planted" not in str(refused.value)


def test_digests() -> None:
    """The same text has the same digest by the same key, and another by another (SE-7)."""
    assert Vault(KEY).digest("token") == Vault(KEY).digest("token")
    found = {Vault(key).digest(text) for key in (KEY, OTHER) for text in ("token", "token2")}
    assert len(found) == 4
    assert not any("token" in one for one in found)


def test_without_a_key() -> None:
    """Everything stays as it is, and nothing that is not there is made up."""
    assert (PLAIN.seal("p", "x"), PLAIN.open("p", "x"), PLAIN.digest("x")) == ("x", "x", "x")
    assert (PLAIN.key_id, PLAIN.is_sealing) == ("", False)
    for vault in (PLAIN, Vault(KEY)):
        assert vault.seal("p", None) is None
        assert vault.open("p", None) is None


def test_names_of_keys() -> None:
    """A key is told from others by its id, which says nothing else of it."""
    ids = {Vault(key).key_id for key in (KEY, OTHER)}
    assert len(ids) == 2
    assert all(len(one) == 16 and one not in KEY.hex() for one in ids)
