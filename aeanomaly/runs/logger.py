"""The directory of a run, and its TensorBoard log."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.tensorboard.summary import hparams
from typing_extensions import override

from aeanomaly.errors import UserError
from aeanomaly.runs.event_files import date_before
from aeanomaly.runs.files import as_utf8
from aeanomaly.runs.finding import LOGS
from aeanomaly.runs.lock import hold


class RunLogger(TensorBoardLogger):
    """A TensorBoard logger whose directory no other run shares, with one event file for fit and test together.

    The stock logger looks for the next free number without taking it, so two runs started together write into one
    directory; and it closes its file after the fit, so the test opens another.

    The number of the epoch, which Lightning adds to whatever is logged, is left out. The single points of ``test/*``
    stay: the HParams table reads a run's metrics from its scalars, and from nowhere else.

    Args:
        root: folder in which ``lightning_logs/version_N`` is made.
        version: N of an existing run to continue; None takes the next free number.

    Attributes:
        continued: whether it is an existing run.
        begun: set it once such a run goes on; until then `discard` takes back what was added to it.

    Raises:
        UserError: if another process is at work in the directory.
    """

    def __init__(self, root: str | Path, version: int | None = None) -> None:
        super().__init__(save_dir=str(root), name=LOGS, version=version, default_hp_metric=False)
        self.continued, self.begun = version is not None, False
        self._earlier: set[Path] = set()
        self._lock = hold(Path(self.log_dir), "process") if self.continued and _is_first_device() else None

    @override
    def __getstate__(self) -> dict[str, Any]:
        """Copies (callbacks that average weights copy all that the module knows) do not hold the directory."""
        return {**super().__getstate__(), "_lock": None}

    @property
    @override
    def version(self) -> int:
        """N of ``version_N``, taken on the first device when first asked for."""
        if self._version is None:
            if not _is_first_device():
                return -1  # the first device decides; `share` tells the others
            self._version = claim_version(Path(self.root_dir))
            self._lock = hold(Path(self.log_dir), "process")
        return int(self._version)

    def go_on_from(self, step: int) -> None:
        """Have TensorBoard forget the points at this step and later, which a run that goes on is about to make again.

        Args:
            step: how many steps the run has taken; points of the latest stand one below it.
        """
        self._kwargs["purge_step"] = step
        if _is_first_device():
            date_before(Path(self.log_dir), int(time.time()))
            self._earlier = self._event_files()

    def release(self) -> None:
        """End the thread that writes the event file, and let other processes into the directory."""
        if self._experiment is not None:
            with contextlib.suppress(OSError):  # a full disk, which has been told; else all is flushed by now
                self._experiment.close()
            self._experiment = None
        if self._lock is not None:
            self._lock.release()

    def share(self, version: int) -> None:
        """Tell a device other than the first which directory the run has."""
        self._version = version

    @override
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write scalars, but for the epoch."""
        super().log_metrics({name: value for name, value in metrics.items() if name != "epoch"}, step)

    def log_hparams_row(self, parameters: Mapping[str, int | float | str]) -> None:
        """Write the run's row of the HParams table; call it once, on the first device.

        Its metrics are the scalars logged already. The usual list of columns is left out: TensorBoard would take that
        of whichever run comes first for all runs, hiding what only others have. Without it, TensorBoard makes its own
        from all runs, with the hyperparameters that differ in front.
        """
        # TensorBoard's files hold nothing but UTF-8, which a path need not be.
        shown = {key: as_utf8(value) if isinstance(value, str) else value for key, value in parameters.items()}
        _columns, start, end = hparams(shown, {})
        writer = self.experiment._get_file_writer()
        for summary in (start, end):
            writer.add_summary(summary)

    @override
    def finalize(self, status: str) -> None:
        """Flush, and stay open for what follows in the same run."""
        if self._experiment is not None:
            # What made a run fail is more to the point than that its last values cannot be written either.
            with contextlib.suppress(OSError) if status == "failed" else contextlib.nullcontext():
                self._experiment.flush()

    @override
    def save(self) -> None:
        """Write nothing: ``config.yaml`` has all hyperparameters."""

    def discard(self) -> None:
        """Remove the directory of a run that failed before it had any result, or the events of one not gone on with."""
        if self._version is None or not _is_first_device() or (self.continued and self.begun):
            return
        folder = Path(self.log_dir)
        unused = not any((folder / "checkpoints").glob("[!.]*.ckpt")) and not (folder / "metrics.json").exists()
        if (self.continued or unused) and self._experiment is not None:
            with contextlib.suppress(OSError):  # a full disk
                self._experiment.close()
        if self.continued:
            for path in self._event_files() - self._earlier:  # TensorBoard would forget points because of it
                path.unlink(missing_ok=True)
        elif unused:
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # other runs are in it
                folder.parent.rmdir()

    def _event_files(self) -> set[Path]:
        return set(Path(self.log_dir).glob("events.out.tfevents.*"))


def _is_first_device() -> bool:
    # Lightning keeps the rank on this function, and knows it before any process group exists.
    return getattr(rank_zero_only, "rank", 0) == 0


def claim_version(folder: Path) -> int:
    """Make the next free ``version_N`` in ``folder`` and return N.

    The directory is made exclusively: of two processes that try the same number, one gets the next.

    Raises:
        UserError: if the place cannot be written to.
    """
    try:
        while True:
            folder.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError, FileNotFoundError):  # it is taken, or the folder removed as empty
                names = [re.fullmatch(r"version_(\d+)", path.name) for path in folder.iterdir()]
                number = max((int(match[1]) for match in names if match), default=-1) + 1
                (folder / f"version_{number}").mkdir()
                return number
    except OSError as error:
        raise UserError(f"cannot make a run directory in {folder}: {error.strerror or error}") from None
