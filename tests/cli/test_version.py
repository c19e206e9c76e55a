"""tocsin.cli.version."""

from click.testing import CliRunner

from tocsin import __version__
from tocsin.cli.version import version


def test_version() -> None:
    """The daemon's version comes first, with what it stands on; alone with --short."""
    result = CliRunner().invoke(version)
    assert result.stdout.startswith(f"tocsin {__version__}\n")
    assert "sqlite 3." in result.stdout
    assert CliRunner().invoke(version, ["--short"]).stdout == f"{__version__}\n"
