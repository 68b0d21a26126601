"""Faults that take little time, each tried a few times: most commands must be refused, and leave all as it was."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from commands import Ended, run, stopped
from endings import differences, weights
from fault import Fault
from picture_faults import picture_fit
from pictures import make_pictures
from tries import CONFIGS, RUN, Tries, begun, not_refused, undisturbed

FEW = 3  # tries, as hardly anything in these faults is left to chance
SHORT_FIT = ["fit", "--config", str(CONFIGS / "debug.yaml"), "--trainer.max_epochs", "3"]


def small(tries: Tries) -> list[Fault]:
    """All of them."""
    return [fault(tries) for fault in (full_cache, full_export, no_folder, diverging, second_resume)]


def few(tries: Tries) -> range:
    """As many as are asked for, and not more than a few."""
    return range(min(FEW, tries.count))


def full_cache(tries: Tries) -> Fault:
    """A disk that is full while the decoded pictures are kept, then the same command with room."""
    fault = Fault("first start on pictures: disk full while caching, then the same command")
    alone = tries.place("pictures")
    make_pictures(alone / "pictures", 200)
    words = picture_fit(alone / "pictures")
    whole = run(words, alone)
    assert whole.status == 0, whole.said
    largest = max(path.stat().st_size for path in alone.glob("cache/**/*.npy"))
    for _ in few(tries):
        folder = tries.place("full_cache")
        ended = run(words, folder, room=int(tries.draw.uniform(0.05, 0.95) * largest))
        fault.said = ended.last_line.replace(f"{folder}/", "")
        wrong = not_refused(ended, "cannot write into")
        again = run(words, folder)
        wrong += again.not_with(0)
        fault.note(again, [*wrong, *differences(folder / RUN, alone / RUN)])
    return fault


def full_export(tries: Tries) -> Fault:
    """A disk that is full while ``export`` writes its file."""
    fault = Fault("export: disk full; the former file stays")
    alone, _ = undisturbed(SHORT_FIT, tries)
    words = ["export", "--ckpt_path", str(alone / RUN), "--format", "torch", "--out", "net.pt2"]
    whole = run(words, alone)
    assert whole.status == 0, whole.said
    for _ in few(tries):
        folder = tries.place("export")
        (folder / "net.pt2").write_text("former\n")
        ended = run(words, folder, room=tries.draw.randrange(1, (alone / "net.pt2").stat().st_size))
        fault.said = ended.last_line.replace(f"{folder}/", "")
        kept = (folder / "net.pt2").read_text(errors="replace") == "former\n"
        left = [path.name for path in folder.iterdir() if path.name != "net.pt2"]
        wrong = ([] if kept else ["the former file is gone"]) + ([f"left behind: {left}"] if left else [])
        fault.note(ended, [*not_refused(ended, "cannot write"), *wrong])
    return fault


def no_folder(tries: Tries) -> Fault:
    """A fit that cannot make its run's directory; root may write into whatever is read-only."""
    root = os.geteuid() == 0
    fault = Fault(f"fit: lightning_logs is {'a file' if root else 'read-only'}: refused")
    for _ in few(tries):
        folder = tries.place("read_only")
        logs = folder / "lightning_logs"
        if root:
            logs.write_text("former\n")
        else:
            logs.mkdir(mode=0o555)
        before = _listing(folder)
        ended = run(SHORT_FIT, folder)
        fault.said = ended.last_line.replace(f"{folder}/", "")
        left = [] if _listing(folder) == before else [f"left behind: {_listing(folder)}"]
        fault.note(ended, [*not_refused(ended, "lightning_logs"), *left])
    return fault


def _listing(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path.relative_to(folder)), path.stat().st_mtime_ns) for path in folder.rglob("*"))


def diverging(tries: Tries) -> Fault:
    """A fit whose learning rate is beyond all bounds after its first epoch."""
    fault = Fault("fit: the loss becomes NaN: status 2, and the last good checkpoint is named")
    words = ["--model.lr_scheduler", "torch.optim.lr_scheduler.ExponentialLR", "--model.lr_scheduler.gamma", "1e40"]
    for _ in few(tries):
        folder = tries.place("diverging")
        ended = run([*SHORT_FIT, *words], folder)
        fault.said = ended.last_line.replace(f"{folder}/", "")
        last = RUN / "checkpoints" / "last.ckpt"
        named = not_refused(ended, "training diverged: the loss is nan", f"the last good checkpoint is {last}")
        good = (folder / last).is_file() and all(value.isfinite().all() for value in weights(folder / last).values())
        fault.note(ended, named + ([] if good else [f"{last} is not good"]))
    return fault


def second_resume(tries: Tries) -> Fault:
    """``fit --resume`` of a run that is at work, which must end as if nothing had been."""
    fault = Fault("fit --resume of a run that is at work: refused, and the run ends")
    alone, _ = undisturbed(SHORT_FIT, tries)
    for _ in few(tries):
        folder, second = tries.place("second"), list[Ended]()

        def resume(process: subprocess.Popen[str], folder: Path = folder, second: list[Ended] = second) -> None:
            begun(folder, process)
            process.send_signal(signal.SIGSTOP)  # so short a fit would end before the second has started
            second.append(run(["fit", "--resume"], folder))
            process.send_signal(signal.SIGCONT)

        ended = stopped(SHORT_FIT, folder, resume)
        fault.said = second[0].last_line.replace(f"{folder}/", "")
        wrong = not_refused(second[0], "another process is at work")
        wrong += ended.not_with(0)
        fault.note(second[0], [*wrong, *differences(folder / RUN, alone / RUN)])
    return fault
