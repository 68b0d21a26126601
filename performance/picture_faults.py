"""Faults that are done to commands that read a folder of pictures."""

from __future__ import annotations

import signal
import subprocess
from functools import partial
from pathlib import Path

from commands import run, stopped, wait_for
from endings import differences
from fault import Fault
from pictures import make_pictures
from tries import CONFIGS, RUN, Tries, killed, send


def picture_fit(pictures: Path) -> list[str]:
    """Words of a fit of five steps on a folder of pictures, which it keeps in ``cache`` once they are decoded."""
    words = ["fit", "--config", str(CONFIGS / "best.yaml"), "--config", str(CONFIGS / "data" / "folder.yaml")]
    words += ["--data.folder", str(pictures), "--data.size", "16", "--data.cache_dir", "cache"]
    return [*words, "--trainer.max_steps", "5", "--trainer.val_check_interval", "5"]


def killed_pictures(tries: Tries) -> list[Fault]:
    """The first start on a folder of pictures, and a prediction, that are killed, or whose disk is full."""
    alone = tries.place("pictures")
    make_pictures(alone / "pictures", 600)
    fit = picture_fit(alone / "pictures")
    whole = run(fit, alone)
    assert whole.status == 0, whole.said
    caching = Fault("first start on pictures: kill -9 while caching, then the same command")
    for _ in tries.until(caching):
        kill_caching(fit, caching, alone, tries)
    return [caching, *killed_predictions(alone, tries)]


def kill_caching(fit: list[str], fault: Fault, alone: Path, tries: Tries) -> None:
    """One try; a fit that ended before it was killed is none."""
    folder = tries.place("caching")

    def kill(process: subprocess.Popen[str]) -> None:
        wait_for(lambda: list(folder.glob("cache/**/*")), process)
        send(process, tries.draw.uniform(0, 1), signal.SIGKILL)

    ended = stopped(fit, folder, kill)
    if ended.status == 0:
        return
    wrong = ended.not_with(-signal.SIGKILL)
    again = run([*fit, "--trainer.default_root_dir", "again"], folder)
    wrong += again.not_with(0)
    fault.note(again, [*wrong, *differences(folder / "again" / RUN, alone / RUN)])


def killed_predictions(alone: Path, tries: Tries) -> list[Fault]:
    """A prediction with the run in this folder, of the pictures in it."""
    words = ["predict", "--ckpt_path", str(alone / RUN), "--images", str(alone / "pictures"), "--out", "scores.csv"]
    words += ["--batch", "8"]
    whole = run(words, alone)
    assert whole.status == 0, whole.said
    table = (alone / "scores.csv").read_text()
    gone_on = Fault("predict: kill -9, then with --resume")
    for folder, ended in killed(tries, gone_on, words, whole.seconds, partial(tries.place, "predict")):
        wrong = ended.not_with(-signal.SIGKILL)
        wrong += ["half a result"] if (folder / "scores.csv").exists() and _text(folder) != table else []
        again = run([*words, "--resume"], folder)
        wrong += again.not_with(0)
        gone_on.note(again, wrong or ([] if _text(folder) == table else ["the result"]))
    full = Fault("predict: disk full; the former result stays")
    for _ in tries.until(full):
        folder = tries.place("predict")
        (folder / "scores.csv").write_text("former\n")
        ended = run(words, folder, room=tries.draw.randrange(1, len(table)))
        full.said = ended.last_line.replace(f"{folder}/", "")
        full.note(ended, [] if ended.status == 2 and _text(folder) == "former\n" else [ended.last_line])
    return [gone_on, full]


def _text(folder: Path) -> str:
    return (folder / "scores.csv").read_text() if (folder / "scores.csv").exists() else ""
