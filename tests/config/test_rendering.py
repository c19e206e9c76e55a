"""tocsin.config.rendering: the documents say what the code does."""

import tomllib
from pathlib import Path

from tocsin.config import Config, parse
from tocsin.config.catalogue import entries
from tocsin.config.rendering import default_toml, reference

FOLDER = Path(__file__).parents[2] / "config"


def test_the_sample_file_is_the_defaults() -> None:
    """config/tocsin.toml is what `tocsin defaults` prints (OP-4)."""
    assert (FOLDER / "tocsin.toml").read_text() == default_toml()


def test_the_sample_file_changes_nothing() -> None:
    """Loading the sample gives what no file at all gives (OP-4)."""
    document = tomllib.loads(default_toml())
    assert parse(document, folder=Path(), environ={}, checks={}) == Config()


def test_the_reference_is_generated() -> None:
    """config/README.md is what `tocsin defaults --reference` prints (OP-4)."""
    assert (FOLDER / "README.md").read_text() == reference()


def test_every_option_has_a_help_line() -> None:
    """No option and no table stands in the documents without a meaning, or over two lines."""
    for entry in entries(Config):
        assert entry.help, entry.path
        assert "\n" not in entry.help, entry.path


def test_options_without_a_default_are_valid_once_uncommented() -> None:
    """A commented-out line of the sample is TOML when its mark is taken away."""
    lines = [line[2:] for line in default_toml().splitlines() if line.startswith("# ")]
    commented = [line for line in lines if " = " in line and line.split(" = ")[0].isidentifier()]
    assert any(line.startswith("issuer") for line in commented)
    for line in commented:
        tomllib.loads(line)
