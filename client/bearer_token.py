"""The token that a Client shows: given as text, or read from a file and read again when the file changes."""

import contextlib
import threading
from pathlib import Path

Metadata = tuple[tuple[str, str], ...]


class BearerToken:
    """Makes the metadata `authorization: Bearer TOKEN` (RFC 6750 §2.1). Raises RuntimeError for what is no token."""

    def __init__(self, token: str | None, token_file: str | None) -> None:
        if token is not None and token_file is not None:
            raise RuntimeError("give either token or token_file, not both")
        self._file = None if token_file is None else Path(token_file)
        self._lock = threading.Lock()
        self._read_at: tuple[int, int, int] | None = None  # the state of the file that was read last
        self._metadata: Metadata = () if token is None else _metadata(token, "Parameter 'token'")
        if self._file is not None:
            self._read(self._file)

    def metadata(self) -> Metadata:
        """What goes with the next attempt of a call."""
        if self._file is not None:
            with contextlib.suppress(RuntimeError):  # somebody is just replacing it: the old token holds until then
                self._read(self._file)
        return self._metadata

    def _read(self, file: Path) -> None:
        try:
            state = file.stat()
            version = (state.st_mtime_ns, state.st_ino, state.st_size)
            with self._lock:
                if version != self._read_at:
                    self._metadata = _metadata(file.read_text(encoding="ascii").strip(), f"token_file '{file}'")
                    self._read_at = version
        except OSError as error:
            raise RuntimeError(f"token_file '{file}' cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise RuntimeError(f"token_file '{file}' should hold one line of printable ASCII without blanks") from error


def _metadata(token: str, name: str) -> Metadata:
    if not token or not all("!" <= letter <= "~" for letter in token):
        raise RuntimeError(f"{name} should hold one line of printable ASCII without blanks")
    return (("authorization", f"Bearer {token}"),)
