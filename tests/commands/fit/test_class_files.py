"""What is read of classes from their files is what the parser takes."""

from __future__ import annotations

import importlib
import pkgutil

from jsonargparse import ArgumentParser

from aeanomaly.commands.fit.class_files import arguments
from tests.conftest import REPOSITORY


def every_class() -> list[type]:
    """The classes of the package that stand in its files and have arguments there."""
    found = []
    for room in ("callbacks", "data", "evaluation", "models", "scores", "training"):
        for module in pkgutil.walk_packages([str(REPOSITORY / "aeanomaly" / room)], f"aeanomaly.{room}."):
            content = vars(importlib.import_module(module.name)).values()
            found += [each for each in content if isinstance(each, type) and each.__module__ == module.name]
    return [each for each in found if arguments(f"{each.__module__}.{each.__qualname__}")]


def test_what_classes_take_is_what_the_parser_takes() -> None:
    classes = every_class()
    assert {"Digits", "DenseAutoencoder", "PictureFolder", "KMeans"} < {each.__name__ for each in classes}
    for each in classes:
        read = set(arguments(f"{each.__module__}.{each.__qualname__}"))
        parser = ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(each, fail_untyped=False)
        taken = {action.dest.partition(".")[0] for action in parser._actions if action.dest != "help"}
        assert read >= taken, each
