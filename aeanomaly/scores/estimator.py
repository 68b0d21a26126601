"""Any outlier detector of scikit-learn or PyOD as a score."""

from __future__ import annotations

import importlib.util
import inspect
import os
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aeanomaly.errors import UserError
from aeanomaly.outputs import Output
from aeanomaly.scores.vector import VectorScore, checked_seed

# Where detectors may be imported from while a checkpoint of others is restored; None for anywhere.
PACKAGES: ContextVar[tuple[str, ...] | None] = ContextVar("PACKAGES", default=None)


class Estimator(VectorScore):
    """The ``decision_function`` of an outlier detector, turned so that a higher score is more anomalous.

    That of scikit-learn's detectors (`sklearn.base.OutlierMixin`) is higher for normal images, and its sign is changed;
    that of PyOD's (Zhao et al., 2019; ``pip install 'aeanomaly[pyod]'``) is higher for anomalies.

    A checkpoint holds no pickled object but the rows that the detector is fitted on. A detector that comes from a
    checkpoint is fitted anew by them when it is first asked, with the same seed: the same scores, on one machine with
    the same number of threads, for the time of a fit.

    Args:
        estimator: class path, such as ``sklearn.ensemble.IsolationForest`` or ``pyod.models.vae.VAE``.
        options: arguments of its constructor; ``n_features``, where it takes that, is D unless it is given here.
        field: output field that it sees, such as ``code``, ``target`` for images, or ``features.layer2``.
        at_most: rows that it is fitted on, drawn at random from more; null for all. The checkpoint grows with them.
        random_state: seed of the draw, and of the global random numbers while it is fitted and asked. A
            detector's own ``random_state`` is set in ``options``.

    Raises:
        UserError: if a package is missing, the class is no outlier detector that judges new images or does not take the
            options, ``at_most`` is below 2, or ``field`` is no output field.
    """

    fitted_on = "train"
    rows: Tensor

    def __init__(
        self,
        estimator: str,
        options: dict[str, Any] | None = None,
        field: str = "code",
        at_most: int | None = 10000,
        random_state: int = 9,
    ) -> None:
        super().__init__(field)
        if at_most is not None and at_most < 2:
            raise UserError(f"model.scores: Estimator needs {at_most=} of at least 2")
        self.estimator, self.options = estimator, dict(options or {})
        self.at_most, self.random_state = at_most, checked_seed("Estimator", random_state)
        self.register_buffer("rows", torch.empty(0))  # (N, D) that it is fitted on
        self.register_load_state_dict_pre_hook(_forget)
        self._fitted: Any = None  # the detector that was fitted on them, once there is one
        self.sign = _sign(estimator, _imported(estimator))  # what is no detector is not even made
        if not hasattr(self._made(columns=1), "decision_function"):  # names mistakes in the options too, before a fit
            raise _no_detector(estimator)

    def fit(self, outputs: Output) -> None:
        """Fit the detector to the (N, D) rows of the field.

        Raises:
            UserError: if there are fewer than two rows, one is not finite, or the detector refuses them.
        """
        device = self.rows.device
        self.rows = self.normal_vectors(outputs, 2, self.at_most, self.random_state).to(device)
        self._fitted = self._fit_to_rows()

    def forward(self, output: Output) -> Tensor:
        """(B,) values of the decision function. Those of a detector that draws at random depend on the whole batch."""
        if self._fitted is None:
            self._fitted = self._fit_to_rows()
        vectors = self.vectors(output)
        if not len(vectors):  # a device's share of a short batch, which detectors refuse
            return vectors.new_zeros(0)
        with _seeded(self.random_state):
            values = self.sign * self._fitted.decision_function(vectors.cpu().numpy())
        return torch.as_tensor(values, dtype=torch.float32, device=vectors.device)

    def _made(self, columns: int) -> Any:
        kind = _imported(self.estimator)
        try:
            with _seeded(self.random_state):  # PyOD's constructors set the global seed
                told = {"n_features": columns} if "n_features" in inspect.signature(kind).parameters else {}
                return kind(**{**told, **self.options})
        except (TypeError, ValueError) as error:
            raise UserError(f"model.scores: {self.estimator} does not take its options: {error}") from error

    def _fit_to_rows(self) -> Any:
        detector = self._made(self.rows.shape[1])
        try:
            with _seeded(self.random_state):
                detector.fit(self.rows.cpu().numpy())
        except (TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{self.estimator} cannot be fitted to {list(self.rows.shape)} rows: {reason}") from error
        return detector


def _forget(score: Estimator, state_dict: Mapping[str, Any], prefix: str, *_: Any) -> None:
    """Drop the fitted detector if other rows are about to be loaded."""
    saved = state_dict.get(f"{prefix}rows")
    if saved is None or not torch.equal(saved.to(score.rows.device), score.rows):
        score._fitted = None


def _imported(path: str) -> Any:
    packages = PACKAGES.get()
    if packages is not None and not any(f"{path}.".startswith(f"{package}.") for package in packages):
        raise ImportError(f"Importing '{path}' is not allowed")
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        if package == module.partition(".")[0] and importlib.util.find_spec(package) is None:
            hint = "pip install 'aeanomaly[pyod]'" if package == "pyod" else f"pip install {package}"
            raise UserError(f"model.scores: {path} needs the package {package}, which is missing: {hint}") from None
        raise UserError(f"model.scores: Estimator cannot import {path!r}: {error}") from error
    except (AttributeError, ValueError) as error:
        raise UserError(f"model.scores: Estimator cannot import {path!r}: {error}") from error


def _sign(path: str, kind: Any) -> int:
    """1 if a higher value of its decision function is more anomalous, -1 if it is less so."""
    from sklearn.base import OutlierMixin

    if inspect.isclass(kind):
        if issubclass(kind, OutlierMixin):
            return -1
        # PyOD's detectors are no scikit-learn estimators; who uses none need not have it.
        if any(base.__module__ == "pyod.models.base" for base in kind.__mro__):
            return 1
    raise _no_detector(path)


def _no_detector(path: str) -> UserError:
    name = path.rpartition(".")[2]
    return UserError(f"model.scores: {name} is no outlier detector of scikit-learn or PyOD that judges new images")


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """With gradients, and global random numbers from a seed. What was before comes back: PyOD sets all of these."""
    python, numpy, hashes = random.getstate(), np.random.get_state(), os.environ.get("PYTHONHASHSEED")
    with (
        torch.random.fork_rng(list(range(torch.cuda.device_count()))),
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
            os.environ.pop("PYTHONHASHSEED", None)
            if hashes is not None:
                os.environ["PYTHONHASHSEED"] = hashes
