"""What scores are fitted on of the training images."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from aeanomaly.data.sources.digits import Digits
from aeanomaly.models.oriented_gradients import OrientedGradients
from aeanomaly.models.untrained import Untrained
from aeanomaly.outputs import Output
from aeanomaly.scores.knn import KNN
from aeanomaly.scores.patch_knn import PatchKNN
from aeanomaly.training.module import LitAutoencoder
from tests.training.parts import make_trainer

FIELD = "features.front"


def test_a_score_that_draws_a_sample_is_given_that_and_the_others_all(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Output] = {}

    def watch(kind: Any) -> None:
        fit = kind.fit

        def watched(self: Any, outputs: Output) -> None:
            if self.reads == (FIELD,):
                seen.setdefault(kind.__name__, outputs)
            fit(self, outputs)

        monkeypatch.setattr(kind, "fit", watched)

    watch(KNN)  # also inside of the other, which comes last
    watch(PatchKNN)
    scores = {"knn": KNN(FIELD), "patches": PatchKNN(FIELD, candidates=2000, size=10)}
    module = LitAutoencoder(Untrained((1, 8, 8), OrientedGradients(scales=[1], grid=6)), scores)
    trainer = make_trainer([], max_epochs=1, log_every_n_steps=1, num_sanity_val_steps=0)
    data = Digits(anomaly_classes=[0], eval_batch_size=300)
    trainer.fit(module, data)
    images = data.sizes()["train_images"]
    assert seen["KNN"].tensors()[FIELD].shape == (images, 10, 6, 6)
    sample = seen["PatchKNN"].tensors()[FIELD]
    assert sample.shape == (images, 10, 2, 1)  # 2,000 places of 1,165 images, rounded up
    whole = seen["KNN"].tensors()[FIELD].flatten(2)
    same = (sample.squeeze(3).unsqueeze(3) == whole.unsqueeze(2)).all(1)
    assert bool(same.any(2).all())  # rows are of the same images
    assert torch.isfinite(module.detector.score_modules["patches"].knn.bank).all()  # type: ignore[union-attr]
