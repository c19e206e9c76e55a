"""What the guides tell an operator to write and to run is right (OP-3, OP-4, OP-14, OP-16)."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import trustme
from click.testing import CliRunner
from tests.end_to_end.peers.processes import require
from tests.test_unit_files import analyze, units

from tocsin.cli.main import tocsin
from tocsin.config import Config
from tocsin.config.catalogue import entries
from tocsin.ops.metrics import Metrics

__all__ = ["units"]

ROOT = Path(__file__).parents[1]
GUIDES = ("README.md", "systemd/README.md")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
OTHERS = {
    *("push.example.com", "push.credential.failing", "config.reload_failed"),
    *("store.overhaul_begun", "store.overhaul_ended", "store.rewrite_failed"),
}
SHARED = "/opt/tocsin/share/doc/tocsin/"


def text_of(guide: str) -> str:
    """A guide; of the README, the part for operators."""
    text = (ROOT / guide).read_text()
    if guide == "README.md":
        text = text.partition("## Running it for real")[2].partition("## Where things are")[0]
    return text


def blocks(language: str, *guides: str) -> list[str]:
    """What stands in the guides in this language."""
    texts = map(text_of, guides or GUIDES)
    return [body for text in texts for kind, body in BLOCK.findall(text) if kind == language]


def commands(group: click.Group = tocsin, *names: str) -> Iterator[str]:
    """All there are."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *names, name)
        else:
            yield " ".join((*names, name))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """/etc/tocsin as the guide makes it."""
    leaf = trustme.CA().issue_cert("push.example.com")
    (tmp_path / "tls").mkdir()
    leaf.cert_chain_pems[0].write_to_path(str(tmp_path / "tls" / "fullchain.pem"))
    leaf.private_key_pem.write_to_path(str(tmp_path / "tls" / "privkey.pem"))
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "shared-secret").write_text("Zm9y" * 12 + "\n")
    [config] = blocks("toml")
    (tmp_path / "tocsin.toml").write_text(config)
    return tmp_path


def test_the_configuration(place: Path) -> None:
    """OP-4, OP-5: `tocsin check` finds nothing wrong with the guide's file, and a token can be
    made of it as the guide says."""
    environ = {
        "TOCSIN_CONFIG": str(place / "tocsin.toml"),
        "CREDENTIALS_DIRECTORY": str(place / "credentials"),
    }
    checked = CliRunner(env=environ).invoke(tocsin, ["check"])
    assert (checked.exit_code, checked.stderr) == (0, "")
    token = "token create --user me --scope admin --expires-in 86400"
    assert f"$(tocsin {token})" in text_of("README.md")
    made = CliRunner(env=environ).invoke(tocsin, token.split())
    assert (made.exit_code, made.stdout.count(".")) == (0, 2)


@pytest.mark.parametrize("kind", ["service", "socket"])
def test_changes_of_the_units(units: Path, kind: str) -> None:
    """OP-14: systemd understands every drop-in."""
    header = "# /etc/systemd/system/"
    found = [text for text in blocks("ini") if f"tocsin.{kind}.d/" in text]
    assert found
    for text in found:
        path = units / text.splitlines()[0].removeprefix(header)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        done = analyze("verify", "--man=no", *map(str, units.glob("tocsin.s*[et]")))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("script", blocks("sh"), ids=lambda script: script.split("\n", 1)[0])
def test_scripts(script: str) -> None:
    """A shell can read them."""
    done = subprocess.run(["sh", "-n"], input=script.encode(), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_prometheus(tmp_path: Path) -> None:
    """OP-16: Prometheus takes the configuration, with the rules that the wheel installs there."""
    [text] = blocks("yaml")
    file = tmp_path / "prometheus.yml"
    file.write_text(text.replace(SHARED, f"{ROOT}/"))
    check = [require("promtool", "prometheus"), "check", "config", str(file)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS: 1 rule files found" in done.stdout


@pytest.mark.parametrize("guide", GUIDES)
def test_what_is_installed_is_where_it_is_said_to_be(guide: str) -> None:
    """Files named below the folder of documents are files of this tree."""
    for path in re.findall(rf"{SHARED}([\w./-]+)", text_of(guide)):
        assert (ROOT / path).is_file(), path


@pytest.mark.parametrize("guide", GUIDES)
def test_names(guide: str) -> None:
    """Every command, option and metric of the guide exists."""
    text = text_of(guide)
    known = set(commands())
    lines = "\n".join([*CODE.findall(text), *blocks("sh", guide)])
    for first, second in re.findall(r"(?:^|[ (])tocsin ([a-z]+)(?: ([a-z]+))?", lines):
        assert {first, f"{first} {second}"} & known, f"{first} {second}"
    paths = {entry.path.partition(".<")[0] for entry in entries(Config)}
    tables = {path.partition(".")[0] for path in paths}
    for word in CODE.findall(text):
        if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", word) and word.split(".")[0] in tables:
            assert word in paths | OTHERS, word
    metrics = Metrics(()).registry
    series = {sample.name for family in metrics.collect() for sample in family.samples}
    for name in re.findall(r"`(tocsin_\w+)`", text):
        assert name in series or f"{name}_count" in series, name
