"""tocsin.cli.descriptions."""

import json
from pathlib import Path

from click.testing import CliRunner
from tests.fakes.described import described

from tocsin.app.descriptions import served
from tocsin.cli.main import tocsin
from tocsin.config import load
from tocsin.server.description.asyncapi import asyncapi


def test_they_print_what_a_configuration_serves(tmp_path: Path) -> None:
    """OP-3: the documents printed are those a daemon with this configuration answers."""
    file = tmp_path / "tocsin.toml"
    file.write_text(f'auth.shared_secret = "{"x" * 32}"\nnetapi.prefix = "/other"\n')
    config = load(str(file), {})
    public, admin = described(config)
    wanted = {
        "openapi": public.whole,
        "openapi --admin": admin.whole,
        "asyncapi": asyncapi(served(config)),
    }
    for words, whole in wanted.items():
        result = CliRunner().invoke(tocsin, [*words.split(), "--config", str(file)])
        assert result.exit_code == 0
        assert json.loads(result.stdout) == whole


def test_without_a_file_they_print_the_defaults(tmp_path: Path) -> None:
    """OP-3: no configuration is needed, though one is to serve."""
    result = CliRunner().invoke(tocsin, ["openapi"], env={"TOCSIN_CONFIG": ""})
    assert result.exit_code == 0
    assert "/cpaas/notificationchannel/v1/{user}/channels" in json.loads(result.stdout)["paths"]


def test_a_bad_configuration(tmp_path: Path) -> None:
    """OP-3: its mistakes are told, with status 2."""
    file = tmp_path / "tocsin.toml"
    file.write_text("dance = 1\n")
    result = CliRunner().invoke(tocsin, ["asyncapi", "--config", str(file)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "dance" in result.stderr
