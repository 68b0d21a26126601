"""The list of pictures to leave out, from the page of a run in a real browser to the training that takes it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aeanomaly.commands.main import main
from aeanomaly.data.exclusion import excluded, line_of
from aeanomaly.page.gallery import Gallery
from aeanomaly.page.page import Entry, render
from aeanomaly.page.scored import read_scored
from aeanomaly.page.suspects import Suspect, Suspects
from tests.browser import CHROMIUM
from tests.conftest import DEBUG, REPOSITORY
from tests.data.picture_files import content, noise, put
from tests.page.parts import make_run

if TYPE_CHECKING:
    from playwright.sync_api import Page

expect = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e '.[browser]'").expect
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium or Chrome on the PATH: apt-get install chromium"),
]


def test_ticked_suspects_are_saved_as_the_list_that_training_takes(page: Page, tmp_path: Path) -> None:
    """Names of files are anybody's text."""
    files = ["1.png", "<img src=x onerror=alert(1)>.png", "üß, 3.png"]
    paths = [str(tmp_path / "train" / "good" / file) for file in files]
    images = [Suspect(row, 0, path, row > 0, {}, line_of(path, tmp_path)) for row, path in enumerate(paths)]
    suspects = Suspects(images, {"reconstruction": [(2, 9.0), (1, 8.0), (0, 7.0)]}, {"reconstruction": 50})
    suspects.notes["reconstruction"] = ""
    file = tmp_path / "report.html"
    file.write_text(
        render([Entry("a", read_scored(make_run(tmp_path / "run")), Gallery(suspects=suspects))]), encoding="utf-8"
    )
    page.goto(file.as_uri())
    save = page.get_by_role("button", name="Save exclude.txt")
    expect(save).to_be_disabled()
    assert page.locator("#suspects .card").nth(1).inner_text().splitlines()[0] == paths[1]
    for path in paths[1:]:
        page.get_by_role("checkbox", name=f"not normal: {path}").press("Space")
    expect(page.locator("#exclude-said")).to_have_text("2 ticked")
    with page.expect_download() as download:
        save.press("Enter")
    assert download.value.suggested_filename == "exclude.txt"
    download.value.save_as(tmp_path / "exclude.txt")
    assert excluded(tmp_path / "exclude.txt", tmp_path, paths, []).tolist() == [False, True, True]


def test_the_list_of_one_run_is_taken_by_the_next_and_goes_on_in_its_page(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a fit over the page to a fit without the ticked pictures, by names that break lists, and a class's too."""
    monkeypatch.chdir(tmp_path)
    odd = [b"#", b" ", b'"', b"new\nline", b"\xff", "ü".encode()]
    for number in range(120):
        name = odd[number % 6] + b"%d.png" % number
        put(Path("pictures/train/good"), os.fsdecode(name), content(noise(number)))
    for place in ("good", "<img src=x onerror=alert(1)>"):
        for number in range(4):
            put(Path("pictures/test", place), f"{number}.png", content(noise(200 + number)))
    words = ["--config", DEBUG, "--config", str(REPOSITORY / "configs/data/folder.yaml"), "--data.size", "8"]
    words += ["--trainer.max_epochs", "1", "--data.val_fraction", "0.8"]

    def fit(run: int, *more: str) -> set[bytes]:
        """The names of the most suspicious pictures by the first score of this run, whose page is open then."""
        assert main(["fit", *words, *more]) == 0
        page.goto(Path(f"lightning_logs/version_{run}/report.html").absolute().as_uri())
        lines = page.evaluate("RUNS[0].ranking[choice.score].map(([place]) => RUNS[0].suspects[place].line)")
        paths = [json.loads(line) if line.startswith('"') else line for line in lines]
        return {os.fsencode(path).removeprefix(b"train/good/") for path in paths}

    def save(name: str) -> list[str]:
        with page.expect_download() as download:
            page.get_by_role("button", name="Save exclude.txt").click()
        download.value.save_as(name)
        return Path(name).read_text(encoding="utf-8").splitlines()

    first, boxes = fit(0), page.get_by_role("checkbox")
    assert {name[:1] for name in first} == {kind[:1] for kind in odd}
    expect(page.locator("#gallery")).to_contain_text("anomalous, class <img src=x onerror=alert(1)>")
    expect(boxes).to_have_count(24)
    for box in boxes.all():
        box.check()
    saved = save("exclude.txt")
    assert len(saved) == 24
    capsys.readouterr()
    second = fit(1, "--data.exclude", "exclude.txt")
    assert "Left out: 24 of 120 training pictures, by exclude.txt" in capsys.readouterr().out
    assert not first & second
    boxes.first.check()
    expect(page.locator("#exclude-said")).to_have_text("1 ticked; the list also has the 24 left out by this run")
    assert sorted(save("again.txt")[:24]) == sorted(saved)
