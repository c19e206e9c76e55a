"""tocsin.cli.sbom."""

import json
import re
from importlib.metadata import requires, version

from click.testing import CliRunner

from tocsin.cli.sbom import bill, sbom


def test_everything_installed_for_it_is_there() -> None:
    """Each direct dependency is listed with its installed version and a licence, and those of
    tests are not."""
    components = {one["name"].lower().replace("_", "-"): one for one in bill()["components"]}
    declared = [line for line in requires("tocsin") or [] if "extra" not in line]
    names = [re.split(r"[^A-Za-z0-9_.-]", line)[0].lower() for line in declared]
    assert len(names) > 10
    for name in names:
        assert components[name]["version"] == version(name)
        assert components[name]["licenses"]
    assert {"cryptography", "httpcore", "sqlite", "cpython"} <= components.keys()
    assert "pytest" not in components


def test_edges_lead_to_components() -> None:
    """What depends on what is told by references that are in the document."""
    document = bill()
    known = {one.get("bom-ref") for one in document["components"]}
    known.add(document["metadata"]["component"]["bom-ref"])
    for edge in document["dependencies"]:
        assert edge["ref"] in known
        assert set(edge["dependsOn"]) <= known


def test_command() -> None:
    """What is printed is the document."""
    assert json.loads(CliRunner().invoke(sbom).stdout) == bill()
