"""best.yaml on surfaces that are made here: with the data alone changed, it finds every other kind."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from sklearn.metrics import roc_auc_score

from aeanomaly.commands.main import main
from tests.conftest import REPOSITORY
from tests.textures import KINDS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("normal", "images", "channels", "side"),
    [*((kind, 100, 1, 64) for kind in KINDS), *((kind, 50, 3, 128) for kind in ("grain", "scratches"))],
)
def test_every_other_kind_of_surface_is_found(
    normal: str, images: int, channels: int, side: int, tmp_path: Path
) -> None:
    """One class is normal. With blotches the net's layers alone take grain for normal; the fusion must not.

    Grain without scratches is no anomaly where grain with scratches is normal: it has nothing that the other lacks, and
    is not asked for there. Of the 1,900 steps 20, for time; docs/results.md has all of them.
    """
    kinds = list(KINDS)
    wanted = kinds.index(normal)
    words = ["fit", "--config", str(REPOSITORY / "configs" / "best.yaml"), "--data", "tests.textures.Textures"]
    words += ["--data.anomaly_classes", "null", "--data.normal_classes", f"[{wanted}]"]
    words += ["--data.train", str(images), "--data.channels", str(channels), "--data.side", str(side)]
    words += ["--data.test", "10", "--data.val_fraction", "0.4", "--data.batch_size", "32"]
    words += ["--trainer.accelerator", "cpu", "--trainer.default_root_dir", str(tmp_path)]
    words += ["--trainer.max_steps", "20", "--trainer.val_check_interval", "20"]
    assert main(words) == 0
    with (tmp_path / "lightning_logs" / "version_0" / "test_scores.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    for number, kind in enumerate(kinds):
        if number != wanted and (normal, kind) != ("scratches", "grain"):
            both = [row for row in rows if int(row["class"]) in (number, wanted)]
            area = roc_auc_score([int(row["class"]) == number for row in both], [float(row["fusion"]) for row in both])
            assert area >= 0.95, kind
