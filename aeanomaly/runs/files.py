"""Writing files that are either absent or whole."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from aeanomaly.errors import UserError


def write_whole(path: Path, content: bytes | str) -> None:
    """Write under a temporary name beside ``path`` and rename, so that no reader ever sees half a file.

    Raises:
        UserError: if the place cannot be written to.
    """
    data = content.encode() if isinstance(content, str) else content
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as stream:
            partial = Path(stream.name)
            stream.write(data)
        # Temporary files are private; what takes their place gets the permissions of an ordinary new file.
        umask = os.umask(0)
        os.umask(umask)
        partial.chmod(0o666 & ~umask)
        partial.replace(path)
        partial = None
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        if partial is not None:
            with contextlib.suppress(OSError):
                partial.unlink()
