"""From pictures to rows, a batch at a time, while the next pictures are decoded."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from aeanomaly.commands.interruption import tell
from aeanomaly.commands.predict.listing import Listing
from aeanomaly.commands.predict.result_file import ResultFile
from aeanomaly.commands.predict.thresholds import choose_score, choose_threshold
from aeanomaly.commands.predict.together import add_discoveries, look_for_drift
from aeanomaly.commands.process_settings import command_process
from aeanomaly.data.ahead import ahead
from aeanomaly.data.sources.array_files import open_array
from aeanomaly.errors import UserError
from aeanomaly.evaluation.detector import Judgement
from aeanomaly.inference.anomaly_detector import AnomalyDetector, load
from aeanomaly.inference.images import prepared, together, with_axes
from aeanomaly.runs.formula import harmless

if TYPE_CHECKING:
    from aeanomaly.commands.predict.heat_maps import HeatMapFiles


class _Picture(NamedTuple):
    name: str
    version: str
    pixels: Tensor | None  # (C, H, W)
    reason: str = ""  # why there are none


def predict(checkpoint: Path, listing: Listing, args: argparse.Namespace) -> None:
    """Score what is listed, write the table, and say what came out.

    Raises:
        UserError: see `aeanomaly.commands.predict.command.main`.
    """
    with command_process(["predict"]):
        started = time.perf_counter()
        version_of_net = _version(checkpoint)  # before it is read, as of pictures
        detector = load(checkpoint, device=args.device, batch_size=args.batch, allow_import=args.allow_import)
        choose_score(detector, args.score)
        choose_threshold(detector, args.threshold)
        heat_maps = _heat_maps(args.heatmaps, detector, listing)
        source = _source(listing, detector)
        cell = harmless if args.out.suffix == ".csv" else str
        # Whatever makes a row another one, were it written anew.
        origin = [os.path.abspath(checkpoint), version_of_net, *listing.words]  # noqa: PTH100 - links are not followed
        origin += [f"heat maps in {heat_maps.folder}"] if heat_maps else []  # no row of a picture that has none
        there = ((cell(name), source.version(name)) for name in source.names()) if args.resume else None
        table = ResultFile(args.out, columns(detector), origin, there)
        kept = table.count
        if args.resume and not kept:
            print(f"Nothing to resume: no rows of these pictures and this checkpoint wait for {args.out}", flush=True)
        try:
            skipped = _score_all(source, detector, heat_maps, table, cell, args.on_error == "stop")
            said = heat_maps.said() if heat_maps else []
            if args.false_discovery_rate is not None:
                said.append(add_discoveries(table, detector, args.false_discovery_rate))
            if args.drift:
                said.append(look_for_drift(table, detector))
            table.finish()
        except BaseException as ending:
            table.leave()
            kept_rows = f"{table.count:,} rows are kept in {table.partial}; --resume goes on" if table.count else ""
            if isinstance(ending, KeyboardInterrupt):
                tell(ending, kept_rows)
            elif kept_rows:
                print(kept_rows, file=sys.stderr)
            raise
        again = f", {kept:,} before" if kept else ""
        print(f"Scored: {table.count - kept:,} images in {time.perf_counter() - started:.1f} s{again}")
        if skipped:
            print(f"Skipped: {skipped:,} that cannot be read")
        for name, number in table.above.items():
            print(f"Above {name}: {number:,} of {table.count:,}")
        for line in said:
            print(line)
        print(f"Checkpoint: {checkpoint}\nWritten: {args.out}")


def _score_all(
    source: _Source,
    detector: AnomalyDetector,
    heat_maps: HeatMapFiles | None,
    table: ResultFile,
    cell: Callable[[str], str],
    stop: bool,
) -> int:
    """Add a row for each picture that is not in the table yet; the number of those that cannot be read.

    Args:
        cell: makes the first column of the name of a picture.
        stop: whether the first that cannot be read ends it.

    Raises:
        UserError: for such a picture, or if none can be read.
    """
    judge = heat_maps.judge_and_draw if heat_maps else lambda names, images: detector.judge_batch(images)
    todo = (name for name in source.names() if cell(name) not in table.done)
    skipped = 0
    with _bar() as bar, closing(ahead(source.read, todo, 2 * detector.batch_size)) as decoded:
        task = bar.add_task("scored", total=source.length, completed=table.count)
        while piece := list(islice(decoded, detector.batch_size)):
            for picture in piece:
                if picture.reason and stop:
                    raise UserError(f"{picture.reason}; --on-error skip passes over it")
                if picture.reason:
                    skipped += 1
                    bar.console.print(f"skipped: {picture.reason}", soft_wrap=True)
            whole = [(name, version, pixels) for name, version, pixels, _ in piece if pixels is not None]
            if whole:
                paths, versions, pixels = zip(*whole, strict=True)
                judged = judge(paths, together(list(pixels)))
                table.add(list(zip(map(cell, paths), *cells(judged), versions, strict=True)))
            bar.advance(task, len(piece))
    if not table.count:
        raise UserError(f"none of the {source.length:,} pictures can be read")
    return skipped


def _heat_maps(folder: Path | None, detector: AnomalyDetector, listing: Listing) -> HeatMapFiles | None:
    if folder is None:
        return None
    from aeanomaly.commands.predict.heat_maps import HeatMapFiles  # not for nothing: matplotlib comes with it

    return HeatMapFiles(folder, detector, listing.relative)


def columns(detector: AnomalyDetector) -> list[str]:
    """The path, and for each score its value, its p-value, and a decision for each threshold it has."""
    found = ["path"]
    for name in detector.score_names:
        thresholds = detector.detector.threshold_values(name)
        found += [name, f"p_value/{name}", *(f"{name}@{threshold}" for threshold in thresholds)]
    return found


def cells(judged: dict[str, Judgement]) -> Iterator[list[str]]:
    """The columns that `columns` names, but for the path."""
    for scores, p_values, decisions in judged.values():
        yield [f"{score:.9g}" for score in scores.tolist()]  # nine digits restore a float32 exactly
        yield [f"{p_value:.9g}" for p_value in p_values.tolist()]
        for flags in decisions.values():
            yield [str(int(flag)) for flag in flags.tolist()]


class _Source(NamedTuple):
    names: Callable[[], Iterator[str]]  # of all images, anew each time
    version: Callable[[str], str]  # which changes when an image of that name does
    read: Callable[[str], _Picture]
    length: int


def _source(listing: Listing, detector: AnomalyDetector) -> _Source:
    if listing.array is None:

        def read(name: str) -> _Picture:
            version = _version(name)  # before it is read: a file that is changed meanwhile is another next time
            try:
                return _Picture(name, version, prepared(name, detector.geometry))
            except UserError as error:
                return _Picture(name, version, None, str(error))

        return _Source(listing.__iter__, _version, read, listing.count)
    version = _version(listing.array)
    try:
        array = with_axes(open_array(listing.array), detector.geometry.channels)
    except UserError as error:
        raise UserError(f"--images {listing.array}: {error}") from None

    def row(name: str) -> _Picture:
        number = int(name[name.rindex("[") + 1 : -1])
        try:
            return _Picture(name, version, prepared(np.array(array[number]), detector.geometry))
        except UserError as error:
            return _Picture(name, version, None, f"{name}: {error}")

    def names() -> Iterator[str]:
        return (f"{listing.array}[{number}]" for number in range(len(array)))

    return _Source(names, lambda _: version, row, len(array))


def _version(path: str | Path) -> str:
    try:
        found = Path(path).stat()
    except OSError:  # reading it will say why
        return "none"
    return f"{found.st_size}:{found.st_mtime_ns}"


def _bar() -> Progress:
    console = Console(stderr=True, markup=False, highlight=False)
    parts = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    return Progress(*parts, console=console, disable=not console.is_terminal, transient=True)
