"""scikit-learn's bundled 8x8 digits: real images without a download, for demonstrations and tests."""

from __future__ import annotations

import numpy as np
import torch

from aeanomaly.data.base import Arrays, OneClassDataModule


class Digits(OneClassDataModule):
    """1,797 handwritten digits of 1x8x8 pixels (UCI Optical Recognition of Handwritten Digits, test part).

    The set has no test split of its own; 20 % of every class, drawn with a fixed seed, serve as one, so that all runs
    are tested on the same images.
    """

    def load(self) -> Arrays:
        """The digits with their 17 grey levels spread over 0 to 255."""
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        digits = load_digits()
        images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
        train, test = train_test_split(
            np.arange(len(images)), test_size=0.2, stratify=digits.target, random_state=0, shuffle=True
        )
        pixels, labels = torch.from_numpy(images).unsqueeze(1), torch.from_numpy(digits.target).long()
        return Arrays(pixels[train], labels[train], pixels[test], labels[test])
