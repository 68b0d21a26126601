"""Unsupervised anomaly detection with autoencoders, as a PyTorch Lightning experiment framework."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aeanomaly.commands.fit.python import fit
    from aeanomaly.errors import UserError
    from aeanomaly.inference.anomaly_detector import AnomalyDetector, Prediction, load
    from aeanomaly.inference.outlier_detector import OutlierDetector

__version__ = "0.2.0"
__all__ = ["AnomalyDetector", "OutlierDetector", "Prediction", "UserError", "fit", "load"]

# What users of the library need, and where it is at home. Nothing is imported before it is asked for.
_HOMES = {
    "fit": "aeanomaly.commands.fit.python",
    "UserError": "aeanomaly.errors",
    "OutlierDetector": "aeanomaly.inference.outlier_detector",
} | dict.fromkeys(("AnomalyDetector", "Prediction", "load"), "aeanomaly.inference.anomaly_detector")


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def short_names(package: str, path: Iterable[str]) -> Callable[[str], type]:
    """A package's ``__getattr__`` (PEP 562): a class is found in whichever file of the package defines it.

    So `aeanomaly.models.DenseAutoencoder` is another name for the class in its own file, in Python and in YAML. Nothing
    is imported before such a name is asked for, and no list of names needs to be kept.

    Args:
        package: its ``__name__``.
        path: its ``__path__``.
    """

    def find(name: str) -> type:
        import importlib
        import pkgutil

        if name[:1].isupper():  # others, such as __wrapped__, are asked for by tools that look around
            for file in pkgutil.iter_modules(path):
                module = importlib.import_module(f"{package}.{file.name}")
                found = vars(module).get(name)
                if isinstance(found, type) and found.__module__ == module.__name__:
                    return found
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find
