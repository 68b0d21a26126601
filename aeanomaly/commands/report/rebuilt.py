"""Data and net of a finished run, built again for its pictures, by config.yaml and the tested checkpoint."""

from __future__ import annotations

import contextlib
import io

import torch

from aeanomaly.commands.fit.trainer_cli import AnomalyCLI
from aeanomaly.errors import UserError
from aeanomaly.page.gallery import Gallery, make_gallery
from aeanomaly.page.scored import ScoredRun
from aeanomaly.runs.checkpoints import read_checkpoint
from aeanomaly.runs.finding import find_checkpoint

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
    checkpoint = find_checkpoint(path)
    content = read_checkpoint(checkpoint)
    if content.get("val_metrics", {}).get("val/loss") != scored.run.values.get("val/loss"):
        raise UserError(f"{checkpoint} is not the checkpoint that was tested")
    words = ["--config", str(path / "config.yaml"), "--ckpt_path", str(checkpoint)]
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # what a source says when it serves
            cli = RebuiltCLI("test", [*words, *(f"--trainer.{option}" for option in _PLAIN)])
            cli.datamodule.setup("test")
        cli.model.load_state_dict(content["state_dict"])
        return make_gallery(cli.model.detector, cli.datamodule, scored, images, torch.device("cpu"))
    except Exception as error:  # whatever a net or a data source of the user's complains of
        raise UserError(" ".join(str(error).split()) or type(error).__name__) from error
