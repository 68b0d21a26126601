"""Data and net of a finished run, built again for its pictures, by config.yaml and the tested checkpoint."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import torch

from aeanomaly.commands.fit.trainer_cli import AnomalyCLI
from aeanomaly.errors import UserError
from aeanomaly.page.gallery import Gallery, make_gallery
from aeanomaly.page.scored import ScoredRun
from aeanomaly.runs.checkpoints import read_checkpoint

# Only net, scores and data matter here, on whatever device there is.
_PLAIN = ("logger=false", "callbacks=[]", "accelerator=cpu", "devices=1", "num_nodes=1", "strategy=auto")


class RebuiltCLI(AnomalyCLI):
    """``test`` that stops when everything is built."""

    def _run_subcommand(self, subcommand: str) -> None:
        pass


def gallery_of(scored: ScoredRun, images: int) -> Gallery:
    """The pictures of a run.

    Nothing is downloaded: the data must lie where the run found it.

    Raises:
        UserError: if data or checkpoint are gone, or no longer what they were.
    """
    path = scored.run.path
    checkpoint = tested_checkpoint(scored)
    words = ["--config", str(path / "config.yaml"), "--ckpt_path", str(checkpoint)]
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # what a source says when it serves
            cli = RebuiltCLI("test", [*words, *(f"--trainer.{option}" for option in _PLAIN)])
            cli.datamodule.setup("test")
        cli.model.load_state_dict(read_checkpoint(checkpoint)["state_dict"])
        return make_gallery(cli.model.detector, cli.datamodule, scored, images, torch.device("cpu"))
    except (ImportError, OSError, RuntimeError, LookupError, ValueError) as error:
        raise UserError(" ".join(str(error).split())) from error


def tested_checkpoint(scored: ScoredRun) -> Path:
    """The checkpoint whose validation is that of the record.

    Raises:
        UserError: if there is none in the run's directory.
    """
    loss = scored.run.values.get("val/loss")
    files = sorted(scored.run.path.glob("checkpoints/[!.]*.ckpt"))
    for file in files:
        if loss is not None and read_checkpoint(file).get("val_metrics", {}).get("val/loss") == loss:
            return file
    raise UserError(f"the checkpoint that was tested is not in {scored.run.path / 'checkpoints'}")
