"""Who is normal, and which image goes where."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from aeanomaly.errors import UserError, suggestion
from aeanomaly.outputs import folded

Class = str | int  # by its name, which the parser must not take for a number, or by its number
Given = TypeVar("Given", int, Class)


@dataclass(frozen=True)
class Split:
    """Positions (int64) into a training set; the three never overlap."""

    train: Tensor  # normal images, plus the contamination if any
    val_normal: Tensor
    val_anomaly: Tensor

    def without(self, left_out: Tensor) -> Split:
        """Without the images that are left out, (N,) bool; the others stay in the parts that they are in.

        So an image that was held out still is when others are left out, and runs with and without them can be compared.

        Raises:
            UserError: if none is left to train on, or no normal one to validate on.
        """
        train, normal, anomalous = (rows[~left_out[rows]] for rows in (self.train, self.val_normal, self.val_anomaly))
        for rows, purpose in ((train, "training"), (normal, "validation")):
            if not len(rows):
                raise UserError(f"data.exclude: no image is left for {purpose}; leave out fewer of them")
        return Split(train, normal, anomalous)


def which_classes(
    normal_classes: Sequence[Given] | None, anomaly_classes: Sequence[Given] | None
) -> tuple[str, Sequence[Given]]:
    """The option that is given, and its classes; a `UserError` if both or neither are given."""
    if normal_classes is not None and anomaly_classes is None:
        return "normal_classes", normal_classes
    if anomaly_classes is not None and normal_classes is None:
        return "anomaly_classes", anomaly_classes
    raise UserError("give exactly one of data.normal_classes and data.anomaly_classes; set the other to null")


def class_numbers(option: str, classes: Sequence[Class] | None, names: Sequence[str] | None) -> list[int] | None:
    """The classes by number, where some may be given by name; None for None.

    A class is first looked for among the names, so that 3 is the class that is called 3, whatever its number. What may
    be a name that lost its quotes is refused, since another class would be taken in silence.

    Args:
        option: which names them.
        classes: numbers or names.
        names: of class 0, 1, ...; None where classes have no names.

    Raises:
        UserError: if no class has that name, or one may be meant that YAML took for a number or a truth value.
    """
    if classes is None:
        return None
    numbers = {name: number for number, name in enumerate(names or ())}
    # The parser keeps a lone word on the command line as text.
    plain = (name for name in classes if isinstance(name, str) and re.fullmatch("0|[1-9][0-9]{0,17}", name))
    counted = {name: int(name) for name in plain if name not in numbers}
    classes = [counted.get(wanted, wanted) if isinstance(wanted, str) else wanted for wanted in classes]
    found = [numbers.get(str(wanted), wanted) for wanted in classes]
    unknown = next((wanted for wanted in found if isinstance(wanted, str)), None)
    if unknown is not None:
        known = "its classes have numbers only"
        if names:
            kind = "normal" if option == "normal_classes" else "anomalous"
            known = f"name the {kind} ones by --data.{option} '[NAME]'; {suggestion(unknown, names)}"
        raise UserError(f"data.{option} names class {unknown!r}, which is not in the data; {known}")
    for wanted in classes:
        if isinstance(wanted, bool):
            why, name = "as which YAML reads yes, no, on and off without quotes", "no"
        elif str(wanted) not in numbers and (meant := [name for name in numbers if wanted in _without_quotes(name)]):
            why, name = f"which may be {' or '.join(map(repr, meant))} without quotes", meant[0]
        else:
            continue
        raise UserError(f"data.{option} names class {wanted}, {why}: put the name in quotes, such as '[\"{name}\"]'")
    return [int(wanted) for wanted in found]


def _without_quotes(name: str) -> set[int]:
    """The numbers that a name of digits may become: YAML takes 010 for 8, others for 10."""
    if not re.fullmatch("[0-9]{1,18}", name):
        return set()
    return {int(name), int(name, 8)} if re.fullmatch("0[0-7]*", name) else {int(name)}


def anomaly_mask(
    labels: Tensor,
    normal_classes: Sequence[int] | None,
    anomaly_classes: Sequence[int] | None,
    anomalies_needed: bool = True,
) -> Tensor:
    """Which images are anomalous, (N,) bool, from the one of the two lists that is given.

    ``labels`` are (N,) int64 classes, among them every class of the data. One normal class is the one-class protocol,
    one anomalous class the leave-one-out protocol.

    Raises:
        UserError: if both or neither are given, a class does not occur, one is named twice, or no class is left on
            one side, which may be the anomalous one unless ``anomalies_needed``.
    """
    option, chosen = which_classes(normal_classes, anomaly_classes)
    present = labels.unique().tolist()
    unknown = sorted(set(chosen) - set(present))
    if unknown:
        raise UserError(f"data.{option} names class {unknown[0]}, which is not in the data (classes {present})")
    if len(set(chosen)) != len(chosen):
        raise UserError(f"data.{option} names a class twice: {list(chosen)}")
    if not chosen or len(chosen) == len(present):
        side = "anomalous" if (normal_classes is None) == (not chosen) else "normal"
        if side == "normal" or anomalies_needed:
            raise UserError(f"data.{option} {list(chosen)} leaves no {side} class of {present}")
    named = torch.isin(labels, torch.tensor(list(chosen), dtype=torch.int64))
    return named if normal_classes is None else ~named


def anomalous_classes(
    labels: Tensor,
    normal_classes: Sequence[Class] | None,
    anomaly_classes: Sequence[Class] | None,
    names: Sequence[str] | None = None,
    needed: bool = True,
) -> Tensor:
    """Numbers of the anomalous classes of the data, (K,) int64, from the one of the two lists that is given.

    Args:
        labels: (N,) int64, among them every class of the data, whichever part it is in.
        normal_classes: numbers or names.
        anomaly_classes: likewise.
        names: as in `class_numbers`.
        needed: as in `anomaly_mask`, whose errors are raised.
    """
    classes = labels.unique()
    normal = class_numbers("normal_classes", normal_classes, names)
    anomalous = class_numbers("anomaly_classes", anomaly_classes, names)
    chosen: Tensor = classes[anomaly_mask(classes, normal, anomalous, needed)]
    return chosen


def development_images(labels: Tensor, fraction: float = 0.1) -> Tensor:
    """Which training images are set aside to choose hyperparameters on, (N,) bool: a share of every class.

    They depend on the labels alone, not on a seed or on which classes are normal, so that all runs are tested on the
    same images. Those of a class do not depend on the other classes.

    Args:
        labels: (N,) int64 classes of the training set.
        fraction: share of each class.
    """
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for class_ in labels.unique().tolist():
        rows = (labels == class_).nonzero().squeeze(1)
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(class_))
        chosen[rows[order[: round(fraction * len(rows))]]] = True
    return chosen


def split_training_set(is_anomaly: Tensor, val_fraction: float, contamination: float, seed: int) -> Split:
    """Divide a training set into training images, normal and anomalous validation images.

    The normal images are drawn without looking at the anomalous ones: adding, removing or permuting anomalies changes
    neither ``train`` (at contamination 0) nor ``val_normal``.

    Args:
        is_anomaly: (N,) bool.
        val_fraction: of the normal images.
        contamination: share of anomalies in the resulting training images.

    Raises:
        UserError: if a side comes out empty or there are too few anomalies for the contamination.
    """
    normal, anomalous = (~is_anomaly).nonzero().squeeze(1), is_anomaly.nonzero().squeeze(1)
    n_val = round(val_fraction * len(normal))
    if not 0 < n_val < len(normal):
        raise UserError(
            f"data.val_fraction {val_fraction:g} of {len(normal)} normal images leaves none for "
            f"{'training' if n_val else 'validation'}"
        )
    normal = normal[torch.randperm(len(normal), generator=torch.Generator().manual_seed(folded(seed)))]
    val_normal, train = normal[:n_val], normal[n_val:]
    n_mixed = round(len(train) * contamination / (1 - contamination))
    if n_mixed > len(anomalous):
        raise UserError(
            f"data.contamination {contamination:g} needs {n_mixed} anomalous images, only {len(anomalous)} exist"
        )
    # A generator of its own, so that contamination does not move the split of the normal images.
    anomalous = anomalous[torch.randperm(len(anomalous), generator=torch.Generator().manual_seed(folded(seed + 1)))]
    train = torch.cat([train, anomalous[:n_mixed]])
    return Split(train.sort().values, val_normal.sort().values, anomalous[n_mixed:].sort().values)
