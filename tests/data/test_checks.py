"""What a data source of the user's own gives is checked before anything is split; files are in test_arrays.py."""

from __future__ import annotations

import pytest
import torch

from aeanomaly.data.base import Arrays, OneClassDataModule
from aeanomaly.errors import UserError


class Own(OneClassDataModule):
    """A source of the user's own that gives whatever it is made with."""

    def __init__(self, **changed: torch.Tensor) -> None:
        super().__init__(anomaly_classes=[0])
        images, labels = torch.zeros(40, 1, 8, 8, dtype=torch.uint8), torch.arange(40) % 4
        self._arrays = Arrays(images, labels, images, labels)._replace(**changed)

    def load(self) -> Arrays:
        return self._arrays


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"train_images": torch.zeros(40, 1, 8, 8)}, r"the train images are float32 \[40, 1, 8, 8\]; they must be"),
        ({"test_images": torch.zeros(40, 8, 8, dtype=torch.uint8)}, r"the test images are uint8 \[40, 8, 8\]"),
        ({"train_images": torch.zeros(0, 1, 8, 8, dtype=torch.uint8)}, "at least one image"),
        ({"test_labels": torch.zeros(39, dtype=torch.int64)}, "39 labels for 40 test images"),
        ({"train_labels": torch.zeros(40)}, r"the train labels are float32 \[40\], not \(N,\) int64"),
    ],
)
def test_what_a_source_of_ones_own_gives_is_checked(changed: dict[str, torch.Tensor], reason: str) -> None:
    Own().setup()
    with pytest.raises(UserError, match=f"Own: .*{reason}"):
        Own(**changed).setup()
