"""Where the files of a database are: whether still there, and with how much room."""

import os

import apsw


class Place:
    """The file and its write-ahead log as they were at the first look.

    SQLite goes on writing to files that somebody has deleted or moved away, and all of it would
    be gone with the process; so would be what follows once another file lies in their place.
    """

    def __init__(self, path: str) -> None:
        """`path` is empty for a database in memory, which is always in its place."""
        self._path = path
        self._files = (path, f"{path}-wal") if path else ()
        self._found: list[tuple[int, int]] = []

    def check(self) -> None:
        """Raise `apsw.CantOpenError` if a file has been deleted, moved or replaced. To be called
        in a transaction, which both files are there for; a file put back is as it was."""
        try:
            found = [_identity(path) for path in self._files]
        except OSError as error:
            raise apsw.CantOpenError(f"{error.filename}: {error.strerror}") from error
        self._found = self._found or found
        if found != self._found:
            raise apsw.CantOpenError(f"{self._path} is another file than at the start")


def free_bytes(path: str) -> int | None:
    """What is left on the disk of a file for who may not write to its reserve; None where it is
    on none."""
    try:
        disk = os.statvfs(os.path.dirname(path) or ".")
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize


def _identity(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return (status.st_dev, status.st_ino)
