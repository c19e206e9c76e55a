"""Strings that stand somewhere else (OP-5).

Any string option may be written as `{ file = "path" }`, `{ env = "NAME" }` or
`{ credential = "name" }` (a file in systemd's `$CREDENTIALS_DIRECTORY`). Line ends at the end
of what stands there are no part of the secret. Relative paths start at the folder of the
configuration file.
"""

from collections.abc import Mapping
from pathlib import Path

import attrs

REFERENCES = frozenset({"file", "env", "credential"})
SIZE_LIMIT = 65_536


def is_reference(value: object) -> bool:
    """Whether a table says where a string stands, as far as its key tells."""
    return isinstance(value, dict) and len(value) == 1 and value.keys() <= REFERENCES


@attrs.frozen
class SecretSource:
    """Where references are looked up: the configuration file's folder and the environment."""

    folder: Path
    environ: Mapping[str, str] = attrs.field(repr=False)

    def resolve(self, reference: Mapping[str, object]) -> str:
        """The text a reference points to; ValueError says why there is none."""
        kind, name = next(iter(reference.items()))
        if len(reference) != 1 or kind not in REFERENCES or not isinstance(name, str) or not name:
            raise ValueError(
                "must be a string or one of { file = PATH }, { env = NAME }, { credential = NAME }"
            )
        if kind == "env":
            return self._variable(name)
        path = self.folder / name if kind == "file" else self._credential(name)
        return _text(path).rstrip("\r\n")

    def _variable(self, name: str) -> str:
        if name not in self.environ:
            raise ValueError(f"the environment variable {name} is not set")
        return self.environ[name].rstrip("\r\n")

    def _credential(self, name: str) -> Path:
        folder = self.environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise ValueError(f"no credential {name}: $CREDENTIALS_DIRECTORY is not set")
        if "/" in name or name in {".", ".."}:
            raise ValueError("a credential is named without a path")
        return Path(folder) / name


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_LIMIT + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text") from error
    if len(data) > SIZE_LIMIT:
        raise ValueError(f"{path} is larger than {SIZE_LIMIT:_} bytes")
    return text
