"""A detector as a graph of tensor operations, by `torch.export`."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace

import sympy  # type: ignore[import-untyped]  # it comes with torch
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule

from aeanomaly.errors import UserError, suggestion
from aeanomaly.evaluation.detector import Detector
from aeanomaly.outputs import Output
from aeanomaly.scores.estimator import Estimator

INPUT = "images"


class Graph(nn.Module):
    """What a file computes of (B, C, H, W) images: (B,) each, or (B, H, W) for a map, by name of the output.

    Args:
        detector: fitted and calibrated.
        names: of the scores to give; None for all.
        maps: names of all scores that have a map, of which the given ones also give it; None for no maps.

    Raises:
        UserError: for an unknown score, one that no graph can compute, or maps of scores that have none.
    """

    def __init__(
        self, detector: Detector, names: Sequence[str] | None = None, maps: Sequence[str] | None = None
    ) -> None:
        super().__init__()
        known = list(detector.score_modules)
        self.names = known if names is None else list(dict.fromkeys(names))
        for name in self.names:
            if name not in known:
                raise UserError(f"the checkpoint has no score {name!r}; {suggestion(name, known)}")
        needed = set(self.names)
        for name in reversed(known):  # what a score is made of stands before it
            if name in needed:
                needed.update(detector.score_modules[name].reads_scores)
        for name in needed:
            score = detector.score_modules[name]
            if isinstance(score, Estimator):
                others = ",".join(other for other in known if not _made_of_estimators(detector, other)) or "none"
                raise UserError(
                    f"score {name!r} cannot be exported: {score.estimator} is no graph of tensor operations; those "
                    f"that can: --scores {others}"
                )
        self.maps = [name for name in self.names if name in (maps or ())]
        if maps is not None and not self.maps:
            raise UserError(
                f"--maps: none of the exported scores gives a map ({', '.join(self.names)}); name one that does too: "
                f"--scores {','.join([*self.names, *maps])}"
            )
        self.detector = _Fixed(detector, [name for name in known if name in needed])

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Scores, p-values, decisions and maps, by the names that a file gives them."""
        output = self.detector.output(images)
        judged = self.detector.judge(output)
        found = {}
        for name in self.names:
            found[name], found[f"{name}.p_value"] = judged[name].score, judged[name].p_value
            found |= {f"{name}@{threshold}": flags for threshold, flags in judged[name].decision.items()}
            if name in self.maps and (places := self.detector.map(name, output, images.shape[-2:])) is not None:
                found[f"{name}.map"] = places
        return found

    def output_names(self) -> list[str]:
        """The names of what `forward` gives, in order."""
        of = {
            name: [f"{name}@{threshold}" for threshold in self.detector.threshold_values(name)] for name in self.names
        }
        for name in self.maps:
            of[name].append(f"{name}.map")
        return [output for name in self.names for output in (name, f"{name}.p_value", *of[name])]


class _Fixed(Detector):
    """Some scores of a detector, with thresholds that are numbers: looking them up is no operation of a graph."""

    def __init__(self, detector: Detector, names: Sequence[str]) -> None:
        scores = {name: detector.score_modules[name] for name in names}
        super().__init__(detector.net, scores, detector.thresholds)
        for name in names:
            self.calibrations[name] = detector.calibration(name)
        self._values = {name: detector.threshold_values(name) for name in names}
        self.reached = SimpleNamespace(part="the net")  # a list would be put back as it was after a failure

    def threshold_values(self, score: str) -> dict[str, float]:
        """Those of the detector, found when this was made."""
        return self._values[score]

    def score(self, name: str, output: Output) -> Tensor:
        """As that of the detector; remembers how far it came."""
        self.reached.part = f"score {name!r}"
        return super().score(name, output)

    def map(self, name: str, output: Output, size: Sequence[int]) -> Tensor | None:
        """As that of the detector; remembers how far it came."""
        self.reached.part = f"the map of score {name!r}"
        return super().map(name, output, size)


def _made_of_estimators(detector: Detector, name: str) -> bool:
    score = detector.score_modules[name]
    return isinstance(score, Estimator) or any(_made_of_estimators(detector, part) for part in score.reads_scores)


def trace(graph: Graph, images: Tensor) -> ExportedProgram:
    """The operations of a graph for any number of images that are like these.

    Raises:
        UserError: if a part of it does something that no graph can, such as a choice by a value.
    """
    graph.detector.reached.part = "the net"
    try:
        with torch.no_grad(), quiet():
            # At least three, and no more needed: sizes of 0 and 1 are taken for constants.
            return torch.export.export(
                graph.eval(),
                (images[:1].expand(3, -1, -1, -1).clone(),),
                dynamic_shapes=({0: Dim("batch")},),
                strict=False,
            )
    except UserError:
        raise
    except Exception as error:  # whatever a net or a score of the user's does that cannot be traced
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{graph.detector.reached.part} cannot be exported: {reason}") from error


def memory_per_image(program: ExportedProgram) -> int:
    """Bytes that the largest tensor of a graph takes for each image of a batch."""
    sizes = [0]
    graphs = [part.graph for part in program.graph_module.modules() if isinstance(part, GraphModule)]
    for node in (node for graph in graphs for node in graph.nodes):  # what runs without autocast is a graph of its own
        value = node.meta.get("val")
        if isinstance(value, Tensor) and any(not isinstance(side, int) for side in value.shape):
            sizes.append(math.prod(map(_of_one_image, value.shape)) * value.element_size())
    return max(sizes)


def _of_one_image(side: int | torch.SymInt) -> int:
    """The length of a side where the batch is one image, such as 196 for 196 places of each."""
    if isinstance(side, int):
        return side
    length = sympy.sympify(str(side))
    return int(length.subs(dict.fromkeys(length.free_symbols, 1)))


@contextmanager
def quiet() -> Iterator[None]:
    """Without the libraries' account of what they do, which on a failure holds the whole graph."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
