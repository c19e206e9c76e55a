"""tocsin.store.place: nothing is committed to files that nobody will find again."""

from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from tocsin.store.place import Place
from tocsin.store.schema import open_database


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """An open database's file."""
    file = tmp_path / "store.db"
    connection = open_database(str(file))
    connection.execute("INSERT INTO probe VALUES (1, 1)")
    yield file
    connection.close()


def log_of(path: Path) -> Path:
    """Its write-ahead log."""
    return path.with_name(f"{path.name}-wal")


@pytest.mark.parametrize("which", [lambda path: path, log_of])
def test_a_file_that_is_moved_is_missed_and_then_found_again(
    path: Path, which: Callable[[Path], Path]
) -> None:
    """SE-12: a moved file, database or log, is an error that names it; put back, it is none."""
    place, file = Place(str(path)), which(path)
    place.check()
    away = file.rename(path.with_name("away"))
    with pytest.raises(apsw.CantOpenError, match=f"{file.name}: No such file"):
        place.check()
    away.rename(file)
    place.check()


def test_another_file_in_its_place_is_an_error(path: Path) -> None:
    """SE-12: what lies there now is not what we write to, even if it is a copy."""
    place = Place(str(path))
    place.check()
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    copy.replace(path)
    with pytest.raises(apsw.CantOpenError, match="another file"):
        place.check()


def test_memory_is_always_in_its_place() -> None:
    """A database without a file cannot lose it."""
    Place("").check()
