"""tocsin.server.tokencache."""

from tocsin.model.principal import Principal
from tocsin.server.tokencache import TokenCache


def entry(cache: TokenCache, token: str, now: float) -> Principal:
    principal = Principal(token, frozenset(), "", "", token, 0)
    cache.put(token, principal, now, expires_at=1000)
    return principal


def test_cache_is_bounded() -> None:
    """SE-5: a full cache drops the token that was used least recently."""
    cache = TokenCache(2, 300)
    for token in ("a", "b"):
        entry(cache, token, 0)
    assert cache.get("a", 1)
    entry(cache, "c", 2)
    assert len(cache) == 2
    assert cache.get("b", 3) is None
    assert cache.get("a", 3)


def test_cache_distrusts_a_clock_set_back() -> None:
    """SE-12: an entry from the future is dropped, not kept for longer than it should be."""
    cache = TokenCache(2, 300)
    entry(cache, "a", 100)
    assert cache.get("a", 99) is None
    assert len(cache) == 0
