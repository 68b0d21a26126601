"""A fit whose output goes to a file, for the commands that run many."""

from __future__ import annotations

import contextlib
import shlex
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from aeanomaly.errors import Terminated, UserError


@contextlib.contextmanager
def fit_logged(folder: Path, words: Sequence[str]) -> Iterator[None]:
    """Put into ``log.txt`` of a folder, which may be new, what a fit with these words prints and why it fails.

    Raises:
        UserError: for whatever makes the fit fail, with the name of the log; a traceback of a defect is there.
        KeyboardInterrupt: after Ctrl-C; after SIGTERM, its kind `Terminated`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "log.txt"
    with file.open("w") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        print(shlex.join(["python", "-m", "aeanomaly", "fit", *words]), flush=True)
        try:
            yield
        except SystemExit:  # after SIGTERM
            raise Terminated from None
        except KeyboardInterrupt as interruption:
            raise type(interruption) from None  # without a note that it was said: that was into the log
        except Exception as error:
            what = " ".join(str(error).split())
            if isinstance(error, UserError):
                print(f"aeanomaly: error: {what}")
            else:
                traceback.print_exc()
                what = f"{type(error).__name__}: {what}"
            raise UserError(f"{what[:300]}, see {file}") from None
