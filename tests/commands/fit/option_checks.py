"""What may become of an option of the Trainer, and how a test sees that it did."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tests.commands.fit.watching import Watch, flat_weights
from tests.training.parts import scalars, state

RUN = Path("lightning_logs", "version_0")
STEPS = 74  # of two epochs
Seen = Callable[[Any], bool]


@dataclass(frozen=True)
class Works:
    """An option that does what Lightning's documentation says.

    Several of the same option and ``what`` are one row of the table.

    Attributes:
        option: name and value, as they stand in the table.
        words: names, each with its value, as after ``--trainer.``; those of other sections begin with ``--``.
        what: for the table.
        seen: whether it did, by the command's object, in the folder in which it ran. It is false of a fit without the
            option.
        verb: the command.
    """

    option: str
    words: Sequence[str]
    what: str
    seen: Seen
    verb: str = "fit"


@dataclass(frozen=True)
class Refused:
    """An option that is refused in one line, which contains ``says`` and, unless that is it, the option's ``name``."""

    option: str
    words: Sequence[str]
    what: str
    says: str
    name: str
    verb: str = "fit"


@dataclass(frozen=True)
class Unused:
    """An option that changes nothing: the fit ends like one without it."""

    option: str
    words: Sequence[str]
    what: str
    verb: str = "fit"


Option = Works | Refused | Unused


def all_of(*conditions: Seen) -> Seen:
    """All are the case."""
    return lambda cli: all(condition(cli) for condition in conditions)


def steps(count: int) -> Seen:
    """So many steps were taken."""
    return lambda cli: cli.trainer.global_step == count


def validations(*at: int) -> Seen:
    """Validation losses stand at these steps, counted from 0."""
    return lambda cli: tuple(step for step, _ in scalars(RUN)["val/loss"]) == at


def ends_by_itself_with_a_validation(cli: Any) -> bool:
    """Nothing else would have ended the fit, and its last step was validated."""
    return cli.trainer.max_epochs == -1 and scalars(RUN)["val/loss"][-1][0] == cli.trainer.global_step - 1


def effective(precision: str) -> Seen:
    """metrics.json says what took effect."""
    return lambda cli: json.loads((RUN / "metrics.json").read_text())["precision"] == precision


def rows_in(name: str, count: int) -> Seen:
    """A table of the run has so many rows, one an image."""
    return lambda cli: len(list(csv.reader((RUN / name).open()))) == count + 1


def kept(*names: str) -> Seen:
    """These checkpoints lie in the run."""
    return lambda cli: {path.name for path in (RUN / "checkpoints").iterdir()} == set(names)


def same_weights(cli: Any) -> bool:
    """The weights are those of a fit without the option, which `reference` has left beside the run."""
    one, other = (state(each)["state_dict"] for each in (RUN, Path("reference")))
    return all(one[name].equal(other[name]) for name in one if name.endswith("weight"))


def watched(condition: Callable[[Watch], bool]) -> Seen:
    """The callback that watches every fit here has seen it."""
    return lambda cli: condition(next(each for each in cli.trainer.callbacks if isinstance(each, Watch)))


def has_callback(name: str) -> Seen:
    """A callback of this class is at work."""
    return lambda cli: any(type(each).__name__ == name for each in cli.trainer.callbacks)


def without(condition: Seen) -> Seen:
    """It is not the case."""
    return lambda cli: not condition(cli)


def exists(pattern: str) -> Seen:
    """A file is there."""
    return lambda cli: any(Path().glob(pattern))


def says(pattern: str, text: str) -> Seen:
    """A file is there that contains a text."""
    return lambda cli: any(text in path.read_text() for path in Path().glob(pattern))


def averaged(cli: Any) -> bool:
    """What was tested is the mean of the weights with which the epochs but the first began."""
    (seen,) = (each.weights for each in cli.trainer.callbacks if isinstance(each, Watch))
    return torch.allclose(flat_weights(cli.model), torch.stack(seen[1:]).mean(0), atol=1e-6)
