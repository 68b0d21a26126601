"""Seeds of random numbers."""

from __future__ import annotations

import os

import numpy as np


def global_seed() -> int | None:
    """The seed that Lightning's ``seed_everything`` set, here or in the process that started this one; None if none."""
    seed = os.environ.get("PL_GLOBAL_SEED")
    return int(seed) if seed is not None else None


def folded(seed: int) -> int:
    """A seed of any size as one of 32 bits, which is all that torch's generator on a CPU looks at.

    Seeds from 0 to 2**32 - 1 stay. Of others that generator would read the lowest 32 bits, so that seeds which differ
    in higher ones would draw the same numbers; all bits of these are mixed.
    """
    if 0 <= seed < 2**32:
        return seed
    return int(np.random.SeedSequence([int(seed < 0), abs(seed)]).generate_state(1)[0])
