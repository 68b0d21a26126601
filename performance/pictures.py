"""How long a folder of pictures takes: the first start, every later one, `predict`, and what Pillow alone would take.

    python performance/pictures.py --rounds 3

makes 1,800 JPEGs of 416x416 pixels and then, in turn: decodes them with Pillow in a thread for each core, and does
nothing with them; has Pillow make them into arrays of each of `--sizes` in the same way; sets up `PictureFolder` for
each of `--sizes` without a cache, and once more with that of the last; sets up `ArrayFiles` with the same arrays; and
runs `predict` on all of them, with the nets of `--predict` trained for a few steps before, beside what these nets take
for as many images that are decoded. All in one process, imports not counted. To be quoted are median seconds and, where
the machine does something else too, CPU seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from joblib import cpu_count
from markdown_section import Report, add_options
from PIL import Image

from aeanomaly.commands.main import main
from aeanomaly.data.base import OneClassDataModule
from aeanomaly.data.sources.arrays import ArrayFiles
from aeanomaly.data.sources.folder import PictureFolder
from aeanomaly.inference.anomaly_detector import load

KINDS = ("images", "labels")
BARE, LATER, ARRAYS = "Pillow alone", "later start", "start of arrays"


def make_pictures(folder: Path, count: int) -> None:
    """JPEGs of blotches with grain, as large as photographs are: five sixths to train on, two kinds to test."""
    draw = np.random.default_rng(0)
    for number in range(count):
        place = folder / ("train/good", "test/good", "test/bad")[max(0, number % 12 - 9)]
        place.mkdir(parents=True, exist_ok=True)
        blotches = Image.fromarray(draw.integers(0, 256, (26, 26, 3), dtype=np.uint8)).resize((416, 416))
        grain = np.asarray(blotches) + draw.integers(-12, 13, (416, 416, 3))
        Image.fromarray(grain.clip(0, 255).astype(np.uint8)).save(place / f"{number}.jpg", quality=90)


def decode(path: Path) -> None:
    """What Pillow does at least."""
    with Image.open(path) as image:
        image.load()


def decode_to(size: int, path: Path) -> np.ndarray:
    """What Pillow takes for what a first start needs: an array of the wanted size, by its fastest way."""
    with Image.open(path) as image:
        image.draft("RGB", (size, size))
        return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


def set_up(data: OneClassDataModule) -> None:
    """What a fit does before its first batch."""
    data.prepare_data()
    data.setup()


def run(options: argparse.Namespace) -> None:
    """Measure and print the table."""
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder, cache = Path(name, "pictures"), Path(name, "cache")
        make_pictures(folder, options.count)
        paths = sorted(folder.rglob("*.jpg"))

        def bare(work: Callable[[Path], object]) -> None:
            with ThreadPoolExecutor(cpu_count()) as pool:
                for _ in pool.map(work, paths):
                    pass

        def pictures(size: int) -> None:
            set_up(PictureFolder(str(folder), size=size, cache_dir=str(cache / str(size))))

        def arrays() -> None:
            (kept,) = cache.glob(f"{options.sizes[-1]}/*/*-*")
            files = {f"{part}_{kind}": f"{kept}/{part}_{kind}.npy" for part in ("train", "test") for kind in KINDS}
            set_up(ArrayFiles(**files, normal_classes=[1]))

        def predict(run: Path) -> None:
            command(["predict", "--ckpt_path", str(run), "--images", str(folder), "--out", str(run / "scores.csv")])

        ways: dict[str, Callable[[], None]] = {BARE: partial(bare, decode)}
        ways |= {f"Pillow, to {size}x{size}": partial(bare, partial(decode_to, size)) for size in options.sizes}
        ways |= {f"first start, to {size}x{size}": partial(pictures, size) for size in options.sizes}
        ways |= {LATER: partial(pictures, options.sizes[-1]), ARRAYS: arrays}
        side = options.predict_size
        decoded = np.random.default_rng(0).integers(0, 256, (options.count, side, side, 3), dtype=np.uint8)
        for config in options.predict:
            run = trained(config, folder, side, Path(name, config))
            ways[f"judging alone, {config} at {side}x{side}"] = partial(load(run).judge, decoded)
            ways[f"predict, {config} at {side}x{side}"] = partial(predict, run)
        taken: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for _ in range(options.rounds):
            shutil.rmtree(cache, ignore_errors=True)
            for way, call in ways.items():
                taken[way].append(timed(call))
    report = Report("pictures", f"{options.count:,} JPEGs of 416x416")
    rows = []
    for way, times in taken.items():
        ratios = [statistics.median(a[i] / b[i] for a, b in zip(times, taken[BARE], strict=True)) for i in (0, 1)]
        seconds = [statistics.median(column) for column in zip(*times, strict=True)]
        rows.append([way, *(f"{value:.2f}" for value in (*seconds, *ratios))])
    report.table(("", "s", "CPU s", "s / Pillow", "CPU s / Pillow"), rows)
    report.publish(options)


def trained(config: str, pictures: Path, size: int, folder: Path) -> Path:
    """The run of a config that has seen a few batches of the pictures, which is as fast in use as any."""
    configs = Path(__file__).resolve().parent.parent / "configs"
    words = ["fit", "--config", str(configs / config), "--config", str(configs / "data" / "folder.yaml")]
    words += ["--data.folder", str(pictures), "--data.size", str(size), "--data.cache_dir", str(folder / "cache")]
    words += ["--trainer.max_epochs", "-1", "--trainer.max_steps", "10", "--trainer.val_check_interval", "10"]
    words += ["--trainer.check_val_every_n_epoch", "null"]
    command([*words, "--trainer.callbacks", str(configs / "callbacks.yaml"), "--trainer.default_root_dir", str(folder)])
    return folder / "lightning_logs" / "version_0"


def command(words: list[str]) -> None:
    """Run a command of the package silently; it must succeed."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        status = main(words)
    assert status == 0, said.getvalue()


def timed(call: Callable[[], None]) -> tuple[float, float]:
    """Seconds and CPU seconds of a call."""
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    call()
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    return seconds, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1800, help="pictures")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256], help="what they are made into")
    parser.add_argument("--predict", nargs="*", default=["base.yaml", "best.yaml"], help="of nets that predict")
    parser.add_argument("--predict-size", type=int, default=64, help="height and width of the images of these nets")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", default=None, help="where to make the files; by default that of temporary files")
    add_options(parser)
    run(parser.parse_args())
