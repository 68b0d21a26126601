"""What is lost when a command is killed, interrupted or runs out of disk: a table of fault, tries and outcome.

    python performance/faults.py --tries 20 --write docs/reliability.md

runs small commands of the package in processes of their own, stops each at a random moment of its work, gives the next
command that the documentation names, and compares what is there in the end with what an undisturbed command leaves:
weights, scores, values and every point in TensorBoard, or the bytes of a result. Moments are drawn from a seed; when
they fall in the work of a process is up to the machine. An undisturbed command is timed first, so a busy machine only
makes it last longer. A command that ended before it could be stopped is no try.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from commands import children, run, stopped, wait_for
from endings import differences, without_comments
from fault import Fault
from markdown_section import Report, add_options
from pictures import make_pictures

from aeanomaly.runs.reading import read_run

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
RUN = Path("lightning_logs", "version_0")
FIT = ["fit", "--config", str(CONFIGS / "debug.yaml"), "--trainer.max_epochs", "20"]


class Faults:
    """The faults, each a method that is named on the command line, in a folder of their own.

    Args:
        folder: for what the commands write.
        tries: of each fault.
        draw: random moments.
    """

    def __init__(self, folder: Path, tries: int, draw: random.Random) -> None:
        self.folder, self.tries, self.draw = folder, tries, draw

    def place(self, name: str) -> Path:
        """A new working directory."""
        return Path(tempfile.mkdtemp(prefix=f"{name}_", dir=self.folder))

    def fit(self) -> list[Fault]:
        """A fit that is killed, told to end, interrupted twice, or whose disk is full, then ``fit --resume``."""
        alone, length = self._undisturbed(FIT)
        size = (alone / RUN / "checkpoints" / "last.ckpt").stat().st_size
        killed = Fault("fit: kill -9, then fit --resume")
        told = Fault("fit: SIGTERM, then fit --resume")
        full = Fault("fit: disk full, then fit --resume")
        for _ in range(self.tries):
            moment = self.draw.uniform(0, 0.95 * length)
            self._one_fit(FIT, killed, alone, lambda p, m=moment: self._signal(p, m, signal.SIGKILL), (-9,))
            self._one_fit(FIT, told, alone, lambda p, m=moment: self._signal(p, m, signal.SIGTERM), (143, -15))
            room = int(self.draw.uniform(0.05, 1.5) * size)
            self._one_fit(FIT, full, alone, lambda p: None, (2,), room)
        return [killed, told, full]

    def processes(self) -> list[Fault]:
        """A fit of two processes that loses the first or the second to ``kill -9``, then ``fit --resume``."""
        words = [*FIT, "--config", str(CONFIGS / "devices" / "ddp.yaml"), "--trainer.accelerator", "cpu"]
        alone, length = self._undisturbed(words)
        names = (f"fit: kill -9 of the {which} of two processes, then fit --resume" for which in ("first", "second"))
        first, second = map(Fault, names)
        for _ in range(self.tries):
            moment = self.draw.uniform(0, 0.95 * length)
            self._one_fit(words, first, alone, lambda p, m=moment: self._signal(p, m, signal.SIGKILL), (-9,))

            def kill_second(process: subprocess.Popen[str], moment: float = moment) -> None:
                time.sleep(moment)
                for child in children(process.pid):
                    os.kill(child, signal.SIGKILL)

            self._one_fit(words, second, alone, kill_second, range(1, 256))
        return [first, second]

    def _undisturbed(self, words: Sequence[str]) -> tuple[Path, float]:
        """The folder of a fit that is left alone, and its seconds from when it had begun."""
        alone, begun = self.place("alone"), list[float]()
        whole = stopped(words, alone, lambda process: begun.append(self._begun(alone, process)))
        length = time.monotonic() - begun[0]
        assert whole.status == 0, whole.said
        return alone, length

    def _one_fit(
        self,
        words: Sequence[str],
        fault: Fault,
        alone: Path,
        stop: Callable,
        statuses: Sequence[int],
        room: int | None = None,
    ) -> None:
        folder = self.place("fit")
        ended = stopped(words, folder, lambda process: (self._begun(folder, process), stop(process)), room)
        if ended.status == 0:
            return
        wrong = [] if ended.status in statuses else [f"status {ended.status}: {ended.last_line}"]
        if read_run(folder / RUN).finished:  # the page of the run may be missing
            fault.note(ended, differences(folder / RUN, alone / RUN))
            return
        if ended.status > 0:
            fault.said = ended.last_line.replace(f"{folder}/", "")
        there = (folder / RUN / "config.yaml").is_file()
        again = run(["fit", "--resume"] if there else words, folder)
        wrong += [f"status {again.status}: {again.last_line}"] if again.status else []
        fault.note(again, [*wrong, *differences(folder / RUN, alone / RUN)])

    @staticmethod
    def _begun(folder: Path, process: object) -> float:
        wait_for(lambda: (folder / RUN / "config.yaml").is_file(), process)
        return time.monotonic()

    @staticmethod
    def _signal(process: object, moment: float, number: int) -> None:
        time.sleep(moment)
        process.send_signal(number)

    # -2 is what a shell calls 130, too: the second came when Python was about to end.
    def twice(self) -> list[Fault]:
        """A fit that is interrupted twice: how long it takes to leave."""
        fault = Fault("fit: Ctrl-C twice leaves at once (seconds)")
        for _ in range(self.tries):
            folder, left = self.place("twice"), [0.0]

            def press(process: object, folder: Path = folder, left: list[float] = left) -> None:
                self._begun(folder, process)
                self._signal(process, self.draw.uniform(0, 1), signal.SIGINT)
                self._signal(process, 0.1, signal.SIGINT)
                left[0] = time.monotonic()

            ended = stopped([*FIT, "--trainer.max_epochs", "500"], folder, press)
            fault.said = ended.last_line
            fault.note(
                ended._replace(seconds=time.monotonic() - left[0]),
                [] if ended.status in (130, -2) else [f"status {ended.status}"],
            )
        return [fault]

    def grids(self) -> list[Fault]:
        """A benchmark and a sweep whose process is killed, then the same command."""
        plans = {
            "benchmark": ["--config", str(CONFIGS / "benchmark" / "debug.yaml"), "--workers", "2", "--threads", "1"],
            "sweep": ["--config", str(CONFIGS / "sweep" / "debug.yaml"), "--trials", "6"],
        }
        results = {"benchmark": "results.csv", "sweep": "best.yaml"}
        found = []
        for command, options in plans.items():
            words, fault = [command, *options, "--out", "out"], Fault(f"{command}: kill -9, then the same command")
            alone = self.place(command)
            (alone / "configs").symlink_to(CONFIGS)
            whole = run(words, alone)
            assert whole.status == 0, whole.said
            for _ in range(self.tries):
                folder = self.place(command)
                (folder / "configs").symlink_to(CONFIGS)
                moment = self.draw.uniform(0.3, 0.95) * whole.seconds
                if stopped(words, folder, lambda p, m=moment: self._signal(p, m, signal.SIGKILL)).status == 0:
                    continue
                again = run(words, folder)
                texts = [without_comments(place / "out" / results[command]) for place in (folder, alone)]
                wrong = [] if texts[0] == texts[1] else [results[command]]
                fault.note(again, wrong if again.status == 0 else [again.last_line])
            found.append(fault)
        return found

    def pictures(self) -> list[Fault]:
        """The first start on a folder of pictures, and a prediction, that are killed, or whose disk is full."""
        alone = self.place("pictures")
        make_pictures(alone / "pictures", 600)
        fit = ["fit", "--config", str(CONFIGS / "best.yaml"), "--config", str(CONFIGS / "data" / "folder.yaml")]
        fit += ["--data.folder", str(alone / "pictures"), "--data.size", "16", "--data.cache_dir", "cache"]
        fit += ["--trainer.max_steps", "5", "--trainer.val_check_interval", "5"]
        whole = run(fit, alone)
        assert whole.status == 0, whole.said
        caching = Fault("first start on pictures: kill -9 while caching, then the same command")
        for _ in range(self.tries):
            folder = self.place("caching")

            def kill(process: object, folder: Path = folder) -> None:
                wait_for(lambda: list(folder.glob("cache/**/*")), process)
                self._signal(process, self.draw.uniform(0, 1), signal.SIGKILL)

            stopped(fit, folder, kill)
            again = run([*fit, "--trainer.default_root_dir", "again"], folder)
            wrong = differences(folder / "again" / RUN, alone / RUN)
            caching.note(again, wrong if again.status == 0 else [again.last_line])
        words = ["predict", "--ckpt_path", str(alone / RUN), "--images", str(alone / "pictures"), "--out", "scores.csv"]
        words += ["--batch", "8"]
        whole = run(words, alone)
        assert whole.status == 0, whole.said
        table = (alone / "scores.csv").read_text()
        killed = Fault("predict: kill -9, then with --resume")
        full = Fault("predict: disk full; the former result stays")
        for _ in range(self.tries):
            folder = self.place("predict")
            moment = self.draw.uniform(0.3, 0.95) * whole.seconds
            ended = stopped(words, folder, lambda p, m=moment: self._signal(p, m, signal.SIGKILL))
            wrong = ["half a result"] if (folder / "scores.csv").exists() and _text(folder) != table else []
            again = run([*words, "--resume"], folder)
            if ended.status:
                killed.note(again, wrong or ([] if _text(folder) == table else ["the result"]))
            (folder / "scores.csv").write_text("former\n")
            again = run(words, folder, room=self.draw.randrange(1, len(table)))
            full.said = again.last_line.replace(f"{folder}/", "")
            full.note(again, [] if again.status == 2 and _text(folder) == "former\n" else [again.last_line])
        return [caching, killed, full]


def _text(folder: Path) -> str:
    return (folder / "scores.csv").read_text() if (folder / "scores.csv").exists() else ""


def main() -> None:
    """Command line."""
    names = ["fit", "twice", "processes", "grids", "pictures"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=20, help="of each fault")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="these faults")
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary folder")
    add_options(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        faults = Faults(Path(name), options.tries, random.Random(options.seed))
        found = [fault for each in options.only for fault in getattr(faults, each)()]
    report = Report(" ".join(["faults", *options.only]), f"{options.tries} tries of each fault, seed {options.seed}")
    header = ["fault", "tries", "ended as if undisturbed", "seconds of the last command (median)"]
    report.table(header, [fault.row() for fault in found])
    for fault in found:
        if fault.said:
            report.sentence(f"{fault.name}. What was read last: `{fault.said}`")
        for lost in fault.lost:
            report.sentence(f"{fault.name}: {lost}")
    report.publish(options)


if __name__ == "__main__":
    main()
