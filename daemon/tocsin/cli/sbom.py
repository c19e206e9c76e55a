"""`tocsin sbom`: what this daemon is made of, for whoever has to know (CycloneDX 1.5)."""

import json
import platform
import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Any

import apsw
import click

from tocsin import __version__

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
EXTRA = re.compile(r";.*\bextra\b")


@click.command()
def sbom() -> None:
    """Print what is installed with tocsin, with versions and licences, as CycloneDX.

    \b
    Examples:
      tocsin sbom > tocsin.cdx.json
    """
    click.echo(json.dumps(bill(), indent=2))


def bill() -> dict[str, Any]:
    """The document: the daemon, all it needs to run as it is installed here, and what it stands
    on that no package names."""
    found = {_key(one.name): one for one in _needed(distribution("tocsin"))}
    components = [_component(found[key]) for key in sorted(found)]
    components += [
        _library("cpython", platform.python_version(), "PSF-2.0"),
        _library("sqlite", apsw.sqlite_lib_version(), "blessing"),
    ]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": _purl("tocsin", __version__),
                "name": "tocsin",
                "version": __version__,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": components,
        "dependencies": [_edges("tocsin", __version__, distribution("tocsin"))]
        + [_edges(one.name, one.version, one) for one in found.values()],
    }


def _needed(root: Distribution) -> Iterator[Distribution]:
    """Everything below a distribution, each once; extras nobody asked for are left out."""
    seen = {_key(root.name)}
    waiting = [root]
    while waiting:
        for requirement in _requirements(waiting.pop()):
            if _key(requirement) not in seen:
                seen.add(_key(requirement))
                try:
                    one = distribution(requirement)
                except PackageNotFoundError:
                    continue  # for another platform or Python
                waiting.append(one)
                yield one


def _requirements(one: Distribution) -> list[str]:
    names = []
    for line in one.requires or ():
        match = NAME.match(line)
        if match is not None and (EXTRA.search(line) is None or _is_wanted(one, line)):
            names.append(match[0])
    return names


def _is_wanted(one: Distribution, line: str) -> bool:
    """The one extra that is installed on purpose."""
    return _key(one.name) == "pyjwt" and "crypto" in line.partition(";")[2]


def _component(one: Distribution) -> dict[str, Any]:
    said = _library(one.name, one.version, _licence(one))
    return {**said, "bom-ref": _purl(one.name, one.version), "purl": _purl(one.name, one.version)}


def _library(name: str, version: str, licence: str | None) -> dict[str, Any]:
    component: dict[str, Any] = {"type": "library", "name": name, "version": version}
    if licence is not None:
        component["licenses"] = [{"license": {"name": licence}}]
    return component


def _licence(one: Distribution) -> str | None:
    told = one.metadata
    for name in ("License-Expression", "License"):
        if name in told and "\n" not in told[name]:
            return str(told[name])
    classified = [
        line.rpartition(" :: ")[2]
        for line in told.get_all("Classifier") or ()
        if line.startswith("License :: ")
    ]
    return classified[0] if classified else None


def _edges(name: str, version: str, one: Distribution) -> dict[str, Any]:
    below = []
    for requirement in _requirements(one):
        try:
            found = distribution(requirement)
        except PackageNotFoundError:
            continue
        below.append(_purl(found.name, found.version))
    return {"ref": _purl(name, version), "dependsOn": sorted(set(below))}


def _purl(name: str, version: str) -> str:
    return f"pkg:pypi/{_key(name)}@{version}"


def _key(name: str) -> str:
    """The name as the registry compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
