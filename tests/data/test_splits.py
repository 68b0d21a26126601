"""Who is normal, and which image goes where."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from aeanomaly.data.splits import Split, anomalous_classes, anomaly_mask, class_numbers, split_training_set
from aeanomaly.errors import UserError

LABELS = torch.tensor([0, 1, 2, 2, 1, 0])
NORMAL, ANOMALOUS = 200, 60


def mixed(seed: int = 0, normal: int = NORMAL, anomalous: int = ANOMALOUS) -> Tensor:
    """A training set's flags in a random order."""
    order = torch.randperm(normal + anomalous, generator=torch.Generator().manual_seed(seed))
    return order >= normal


def ordinals(positions: Tensor, is_anomaly: Tensor) -> list[int]:
    """Which normal images these are: the how-manieth normal image each is, whatever stands between them."""
    return ((~is_anomaly).long().cumsum(0) - 1)[positions[~is_anomaly[positions]]].tolist()


def parts(split: Split) -> list[list[int]]:
    return [split.train.tolist(), split.val_normal.tolist(), split.val_anomaly.tolist()]


def test_either_list_of_classes_gives_the_mask() -> None:
    expected = [True, False, False, False, False, True]
    assert anomaly_mask(LABELS, None, [0]).tolist() == expected
    assert anomaly_mask(LABELS, [2, 1], None).tolist() == expected


@pytest.mark.parametrize(
    ("normal", "anomalous", "message"),
    [
        (None, None, "exactly one of data.normal_classes and data.anomaly_classes"),
        ([0], [1], "exactly one of data.normal_classes and data.anomaly_classes"),
        ([0, 7], None, r"data.normal_classes names class 7, .*\[0, 1, 2\]"),
        (None, [-1], r"data.anomaly_classes names class -1, .*\[0, 1, 2\]"),
        (None, [1, 1], r"data.anomaly_classes names a class twice: \[1, 1\]"),
        ([0, 1, 0], None, "data.normal_classes names a class twice"),
        ([], None, "data.normal_classes .* leaves no normal class"),
        ([0, 1, 2], None, "data.normal_classes .* leaves no anomalous class"),
        (None, [], "data.anomaly_classes .* leaves no anomalous class"),
        (None, [2, 1, 0], "data.anomaly_classes .* leaves no normal class"),
    ],
)
def test_impossible_choices_of_classes_are_refused(
    normal: Sequence[int] | None, anomalous: Sequence[int] | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        anomaly_mask(LABELS, normal, anomalous)


def test_classes_may_be_named() -> None:
    names = ["10", "2", "bad"]
    assert class_numbers("normal_classes", ["bad", "10", 2, 0], names) == [2, 0, 1, 0]
    assert class_numbers("normal_classes", None, names) is None
    assert class_numbers("normal_classes", [3, 0], None) == [3, 0]
    with pytest.raises(UserError, match=r"data.anomaly_classes names class 'bed', .*did you mean 'bad'\?"):
        class_numbers("anomaly_classes", ["bed"], names)
    for option, kind in (("normal_classes", "normal"), ("anomaly_classes", "anomalous")):
        with pytest.raises(UserError, match=rf"name the {kind} ones by --data\.{option} '\[NAME\]'; there are: NG, OK"):
            class_numbers(option, ["good"], ["NG", "OK"])
    with pytest.raises(UserError, match="its classes have numbers only"):
        class_numbers("normal_classes", ["bad"], None)


def test_a_number_may_come_as_text_where_no_class_is_called_so() -> None:
    """`--data.normal_classes+ 4` on the command line is text to the parser, where names may be meant."""
    assert class_numbers("normal_classes", ["4"], None) == [4]
    assert class_numbers("normal_classes", ["4", "0"], ["a", "0", "b", "c", "d"]) == [4, 1]
    with pytest.raises(UserError, match=r"names class '04'"):
        class_numbers("normal_classes", ["04"], None)


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [(1, "'001'"), (10, "'010' or '012'"), (8, "'008' or '010'")],  # YAML reads 010 as 8, 012 as 10
)
def test_a_number_that_may_be_a_name_without_its_quotes_is_refused(wanted: int, meant: str) -> None:
    """Else class number 1 would be taken, which is called 002."""
    names = [f"{number:03}" for number in range(1, 21)]
    first = meant.partition(" ")[0].strip("'")
    with pytest.raises(UserError, match=rf"class {wanted}, which may be {meant} without .* '\[\"{first}\"\]'"):
        class_numbers("normal_classes", [wanted], names)
    assert class_numbers("normal_classes", [first, 0], names) == [names.index(first), 0]
    assert class_numbers("normal_classes", [8], [str(number) for number in range(10, 100, 10)]) == [8]


@pytest.mark.parametrize("names", [None, ["no", "yes"]])
def test_a_truth_value_is_no_class(names: list[str] | None) -> None:
    with pytest.raises(UserError, match=r"data.normal_classes names class False, .* put the name in quotes"):
        class_numbers("normal_classes", [False], names)


def test_a_class_of_the_test_alone_is_anomalous_unless_it_is_named_normal() -> None:
    assert anomalous_classes(torch.tensor([0, 0, 2, 3]), [0], None).tolist() == [2, 3]
    assert anomalous_classes(torch.tensor([0, 0, 2, 3]), None, ["c"], ["a", "b", "c", "d"]).tolist() == [2]
    assert anomalous_classes(LABELS, [0, 1, 2], None, needed=False).tolist() == []
    with pytest.raises(UserError, match="leaves no normal class"):
        anomalous_classes(LABELS, None, [0, 1, 2], needed=False)


@pytest.mark.parametrize("contamination", [0.0, 0.1])
def test_every_image_is_in_exactly_one_part(contamination: float) -> None:
    split = split_training_set(mixed(), 0.1, contamination, seed=9)
    assert sorted(position for part in parts(split) for position in part) == list(range(NORMAL + ANOMALOUS))


def test_without_contamination_no_anomaly_is_trained_on() -> None:
    flags = mixed()
    split = split_training_set(flags, 0.1, 0.0, seed=9)
    assert not flags[split.train].any()
    assert not flags[split.val_normal].any()
    assert len(split.val_normal) == NORMAL // 10
    assert len(split.val_anomaly) == ANOMALOUS
    assert flags[split.val_anomaly].all()


def test_the_seed_decides_the_split() -> None:
    one, same, other = (parts(split_training_set(mixed(), 0.1, 0.1, seed)) for seed in (9, 9, 10))
    assert one == same
    assert all(a != b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("anomalous", [ANOMALOUS, ANOMALOUS // 2, 1, 0, 5 * ANOMALOUS])
def test_anomalies_have_no_part_in_the_split_of_the_normal_images(anomalous: int) -> None:
    flags, changed = mixed(), mixed(seed=1, anomalous=anomalous)
    split, after = (split_training_set(f, 0.1, 0.0, seed=9) for f in (flags, changed))
    assert ordinals(after.train, changed) == ordinals(split.train, flags)
    assert ordinals(after.val_normal, changed) == ordinals(split.val_normal, flags)


@pytest.mark.parametrize("contamination", [0.01, 0.05, 0.2])
def test_contamination_has_the_share_asked_for(contamination: float) -> None:
    flags = mixed()
    split = split_training_set(flags, 0.1, contamination, seed=9)
    added = int(flags[split.train].sum())
    assert added / len(split.train) == pytest.approx(contamination, abs=0.5 / len(split.train))
    assert len(split.val_anomaly) == ANOMALOUS - added
    assert not set(split.train.tolist()) & set(split.val_anomaly.tolist())


def test_contamination_does_not_move_the_normal_images() -> None:
    flags = mixed()
    clean, contaminated = (split_training_set(flags, 0.1, share, seed=9) for share in (0.0, 0.2))
    assert contaminated.val_normal.tolist() == clean.val_normal.tolist()
    assert [i for i in contaminated.train.tolist() if not flags[i]] == clean.train.tolist()


def test_all_anomalies_may_be_used_up_but_no_more() -> None:
    # 180 normal training images: 60 anomalies are a quarter of 240.
    assert len(split_training_set(mixed(), 0.1, 0.25, seed=9).val_anomaly) == 0
    with pytest.raises(UserError, match=r"data.contamination 0.3 needs 77 anomalous images, only 60 exist"):
        split_training_set(mixed(), 0.1, 0.3, seed=9)


@pytest.mark.parametrize(
    ("normal", "fraction", "missing"), [(20, 0.001, "validation"), (20, 0.999, "training"), (1, 0.5, "validation")]
)
def test_a_fraction_that_leaves_none_is_refused(normal: int, fraction: float, missing: str) -> None:
    with pytest.raises(UserError, match=f"data.val_fraction {fraction} of {normal} .* leaves none for {missing}"):
        split_training_set(mixed(normal=normal), fraction, 0.0, seed=9)
