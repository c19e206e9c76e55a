"""Options that can be wrong in more ways than a number out of range."""

import pytest

from tocsin.server.settings import CorsSettings, HttpLimits, ListenSettings, check_networks


@pytest.mark.parametrize(
    "address", ["127.0.0.1:0", "[::1]:8080", "localhost:1", "unix:/run/t", "systemd:public"]
)
def test_addresses(address: str) -> None:
    """Every form of OP-8 is an address, alone or in a list."""
    assert ListenSettings(public=address).public == address
    assert ListenSettings(admin=[address, address])


@pytest.mark.parametrize("address", ["", "8080", "::1:80", "a:99999", "unix:x", "systemd:", "a:b"])
def test_bad_addresses(address: str) -> None:
    """Anything else is refused with the forms that are possible."""
    with pytest.raises(ValueError, match="is no address"):
        ListenSettings(public=["127.0.0.1:0", address])


def test_networks_origins_and_headers() -> None:
    """A network, an origin and a header name must be one."""
    assert check_networks(["10.0.0.0/8", "::1", "unix"]) is None
    assert "10.0.0.1/8" in str(check_networks(["10.0.0.1/8"]))
    with pytest.raises(ValueError, match="no network"):
        HttpLimits(unlimited_networks=["x"])
    with pytest.raises(ValueError, match="no origin"):
        CorsSettings(origins=["app.example"])
    with pytest.raises(ValueError, match="no header name"):
        CorsSettings(headers=["X-A\r\nB"])
