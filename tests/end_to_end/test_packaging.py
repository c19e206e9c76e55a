"""What is built from this tree can be installed elsewhere and is a whole tocsin (OP-3, SE-11)."""

import re
import site
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import attrs
import pytest
from tests.end_to_end.daemon import environment
from tests.end_to_end.http_connection import get
from tests.end_to_end.launched import Launched
from tests.fakes.tokens import SECRET

from tocsin import __version__
from tocsin.config.rendering import default_toml

pytestmark = pytest.mark.end_to_end

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "daemon"
DOCUMENTS = f"tocsin-{__version__}.data/data/share/doc/tocsin"
ALONE = {"PYTHONPATH": ""}
PIN = re.compile(r"^([a-z0-9.-]+)==(\S+)", re.MULTILINE)


@attrs.frozen
class Installed:
    """A wheel made of the sdist, and an environment with nothing else of ours."""

    wheel: Path
    folder: Path

    @property
    def tocsin(self) -> str:
        """The command."""
        return str(self.folder / "bin" / "tocsin")

    def run(self, *arguments: str) -> str:
        """What the command says."""
        done = subprocess.run(
            [self.tocsin, *arguments],
            cwd=self.folder,
            env=environment() | ALONE,
            capture_output=True,
            check=True,
            text=True,
        )
        return done.stdout


def build(kind: str, tree: Path, target: Path) -> Path:
    """A distribution of a tree."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    subprocess.run(command, cwd=tree, capture_output=True, check=True)
    [built] = target.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """From the tree to a sdist, to a wheel, to an environment; what tocsin depends on is lent to
    it from ours, without any registry."""
    folder = tmp_path_factory.mktemp("packaging")
    sdist = build("sdist", ROOT, folder / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    wheel = build("wheel", folder / sdist.name.removesuffix(".tar.gz"), folder / "wheel")
    venv.create(folder / "venv", symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "venv" / "bin" / "python")]
    options = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    subprocess.run([*pip, "install", *options, str(wheel)], capture_output=True, check=True)
    [packages] = (folder / "venv" / "lib").glob("python*/site-packages")
    (packages / "lent.pth").write_text("\n".join(site.getsitepackages()))
    return Installed(wheel, folder / "venv")


def test_commands(installed: Installed) -> None:
    """Its version, the sample configuration, the manual and the bill of materials are inside."""
    where = [
        str(installed.folder / "bin" / "python"),
        "-c",
        "import tocsin; print(tocsin.__file__)",
    ]
    found = subprocess.run(where, capture_output=True, check=True, env=environment() | ALONE)
    assert Path(found.stdout.decode()).is_relative_to(installed.folder)
    assert installed.run("version", "--short") == f"{__version__}\n"
    assert installed.run("defaults") == default_toml() == (ROOT / "config/tocsin.toml").read_text()
    assert installed.run("man").startswith(".TH ")
    assert '"bomFormat": "CycloneDX"' in installed.run("sbom")
    config = installed.folder / "tocsin.toml"
    config.write_text(f'auth.shared_secret = "{SECRET}"\n')
    assert installed.run("check", "--config", str(config)) == f"{config}: all right\n"


def test_files(installed: Installed) -> None:
    """The wheel has every file of the package, tests of nothing, and what operators read."""
    names = set(zipfile.ZipFile(installed.wheel).namelist())
    files = [one for one in SOURCE.rglob("tocsin/**/*.*") if "__pycache__" not in one.parts]
    assert {str(one.relative_to(SOURCE)) for one in files} <= names
    assert not any(name.startswith("tests/") for name in names)
    for path in ("README.md", "CHANGELOG.md", "config/README.md", "config/grafana/tocsin.json"):
        assert f"{DOCUMENTS}/{path}" in names
    for path in ("config/prometheus/alerts.yml", "systemd/tocsin.service", "systemd/tocsin.socket"):
        assert f"{DOCUMENTS}/{path}" in names


async def test_serving(installed: Installed, tmp_path: Path) -> None:
    """The installed daemon serves, with the page to try messages with."""
    settings = {"messaging.chat_page": True}
    async with Launched(tmp_path, settings, program=[installed.tocsin], environ=ALONE) as daemon:
        page = await get(daemon.admin, "/chat")
        assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        daemon.terminate()
        assert await daemon.exit_status() == 0


def test_the_lock_for_production() -> None:
    """SE-11: it pins all that the daemon depends on, by hash, to what the tests run with, names
    no registry, and has nothing for tests."""
    text = (ROOT / "requirements-run.lock").read_text()
    pins = dict(PIN.findall(text))
    tested = dict(PIN.findall((ROOT / "requirements.lock").read_text()))
    assert pins.items() <= tested.items()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = {re.split(r"[\[>=]", line)[0] for line in project["dependencies"]}
    assert direct <= pins.keys()
    assert not pins.keys() & {"pytest", "hypothesis", "ruff"}
    assert "://" not in text
    entries = re.split(r"\n(?=[a-z0-9])", text.strip())
    assert len(entries) == len(pins)
    assert all("--hash=sha256:" in entry for entry in entries)
