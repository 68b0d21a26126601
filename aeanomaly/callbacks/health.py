"""Makes silent failures loud."""

from __future__ import annotations

import warnings

import lightning as L

from aeanomaly.errors import AnomalyWarning
from aeanomaly.outputs import Evaluation
from aeanomaly.training.module import LitAutoencoder

_DEAD = 1e-6  # a standard deviation below this share of the largest one carries no information in float32


class HealthCheck(L.Callback):
    """Warns, once for each cause, of results that look valid and are not.

    Checked after every validation and test epoch: scores that are NaN or constant, an AUROC below 0.5, a code
    dimension that does not vary over normal images, and what a score reports itself (an empty cluster).
    """

    def __init__(self) -> None:
        self._said: set[str] = set()

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Check the validation pass."""
        if not trainer.sanity_checking:
            self._check(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Check the test pass."""
        self._check(trainer, pl_module, "test")

    def _check(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        assert isinstance(pl_module, LitAutoencoder)
        problems = find_problems(pl_module.evaluation())
        for name, score in pl_module.detector.score_modules.items():
            problems += [(f"{name} fit", f"{name}: {sentence}") for sentence in score.problems()]
        if not trainer.is_global_zero:
            return
        for cause, sentence in problems:
            if f"{stage} {cause}" not in self._said:
                self._said.add(f"{stage} {cause}")
                epoch = f" (epoch {trainer.current_epoch})" if stage == "val" else ""
                warnings.warn(f"{stage}{epoch}: {sentence}", AnomalyWarning, stacklevel=2)


def find_problems(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Suspicions about an evaluation: a short cause, by which repeats are recognised, and the sentence to say."""
    problems = []
    for name, scores in evaluation.scores.items():
        broken = int((~scores.isfinite()).sum())
        if broken:
            problems.append(
                (f"{name} finite", f"score {name!r} is NaN or infinite for {broken} of {len(scores)} images")
            )
            continue
        if len(scores) > 1 and scores.max() == scores.min():
            problems.append((f"{name} constant", f"score {name!r} is the same for all {len(scores)} images"))
            continue
        anomalies = int(evaluation.is_anomaly.sum())
        if 0 < anomalies < len(scores):
            area = evaluation.metrics[name]["auroc"]
            if area < 0.5:
                problems.append(
                    (
                        f"{name} auroc",
                        f"AUROC of score {name!r} is {area:.3f}, below 0.5: normal images outscore anomalies",
                    )
                )
    code = evaluation.code[~evaluation.is_anomaly]
    if len(code) > 1 and code.isfinite().all():
        spread = code.std(0)
        dead = (spread <= _DEAD * spread.max().clamp_min(1e-30)).nonzero().flatten().tolist()
        if dead:
            problems.append(("dead code", f"code dimensions {dead} of {code.shape[1]} do not vary over normal images"))
    return problems
