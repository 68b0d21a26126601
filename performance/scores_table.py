"""Scoring by the scores in configs/, and by nearest neighbours in a large bank, for nets_and_scores.py."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import torch
from configured import module_of, outputs_of, scores
from fit_command import BASE
from growth import MB, resident
from markdown_section import Report
from times import measure
from torch import Tensor

from aeanomaly.evaluation.detector import Detector
from aeanomaly.models.untrained import Untrained
from aeanomaly.outputs import Output
from aeanomaly.scores.base import Score
from aeanomaly.scores.knn import KNN

PIECE = 256  # rows of a product, so that the products with a large bank need no memory to speak of
MOST, MOST_MEMORY = 1.3, 1000.0  # times the product, and MB beside the bank
Way = Callable[[], None]


def scoring(score: Score, output: Output) -> Way:
    """Score a batch of outputs."""

    def way() -> None:
        with torch.inference_mode():
            score.score(output)

    return way


def forward_pass(detector: Detector, batch: Tensor) -> Way:
    """What makes the outputs that scores read, the net's second pass included where one of them wants it."""

    def way() -> None:
        with torch.inference_mode():
            detector.complete(detector.net(batch))

    return way


def product(rows: Tensor, bank: Tensor) -> Way:
    """The bare product of (B, D) rows with an (N, D) bank."""
    room = torch.empty(min(PIECE, len(rows)), len(bank), device=rows.device)

    def way() -> None:
        for piece in rows.split(PIECE):
            torch.mm(piece, bank.T, out=room[: len(piece)])

    return way


def bank_of(score: Score) -> Tensor | None:
    """The (N, D) vectors with which a score compares every image, if there are any."""
    buffers = dict(score.named_buffers(recurse=False))
    return buffers.get("bank", buffers.get("support"))


def add_scores(report: Report, normal: Tensor, test: Tensor, options: argparse.Namespace) -> None:
    """Every score, fitted and asked on the outputs of the net of its config."""
    rows = []
    base = module_of(BASE).detector.to(options.device)
    for config, detector, new in scores(options.only):
        detector.to(options.device)
        fields = {field for score in new.values() for field in score.reads if not field.startswith("scores.")}
        fitted_on, asked = (outputs_of(detector, images, fields) for images in (normal, test))
        forward = forward_pass(base if isinstance(detector.net, Untrained) else detector, test)
        for name, score in new.items():
            if score.fitted_on is not None:
                score.fit(fitted_on.only(score.reads))
            # Other scores in standard deviations are numbers like any.
            others = {f"scores.{other}": torch.randn(len(test), device=test.device) for other in score.reads_scores}
            output = asked.extended(others).only(score.reads)
            bank = bank_of(score)
            bound = forward if bank is None else product(score.vectors(output), bank)  # type: ignore[operator]
            times = measure({"score": scoring(score, output), "bound": bound}, options.rounds, options.seconds)
            rates = [f"{len(test) / times.seconds(row):,.0f}" for row in ("score", "bound")]
            kind = "forward pass" if bank is None else f"product with {len(bank):,} x {bank.shape[1]:,}"
            ratio = f"{times.ratio('score', 'bound'):.2f}"
            rows.append([f"{config}: {name}", type(score).__name__, rates[0], kind, rates[1], ratio])
    if rows:
        header = ["score", "class", "images per second", "bound", "at the bound", "/ bound"]
        report.table(header, rows)


def peak_beside(way: Way, device: str) -> float:
    """MB that a call takes at most beside what is in memory before it; Linux only on a CPU, because it uses /proc."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        way()
        return (torch.cuda.max_memory_allocated() - before) / MB
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far becomes what is resident now
    peak, _ = resident(os.getpid())
    way()
    return resident(os.getpid())[0] - peak


def add_large_bank(report: Report, options: argparse.Namespace) -> None:
    """Nearest neighbours in a bank as large as MNIST's normal images, of the width of best.yaml's layer2."""
    count, size, width = options.large
    score, draw = KNN().to(options.device), torch.Generator().manual_seed(9)
    score.fit(Output.from_tensors({"code": torch.randn(size, width, generator=draw)}))
    codes = torch.randn(count, width, generator=draw).to(options.device)
    ways = {"score": scoring(score, Output.from_tensors({"code": codes})), "bound": product(codes, score.bank)}
    times = measure(ways, options.rounds, options.seconds)
    memory, ratio = peak_beside(ways["score"], options.device), times.ratio("score", "bound")
    cells = [f"KNN, {count:,} x {size:,} x {width:,}"]
    cells += [f"{count / times.seconds(row):,.0f}" for row in ("score", "bound")]
    met = "yes" if ratio <= MOST and memory <= MOST_MEMORY else "no"
    header = ["large bank", "images per second", "at the bound", "/ bound", "MB beside the bank", "met"]
    report.table(header, [[*cells, f"{ratio:.2f}", f"{memory:,.0f}", met]])
    report.sentence(f"Target: at most {MOST} x the product and {MOST_MEMORY:,.0f} MB.")
