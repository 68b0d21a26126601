"""The data of a configuration, without the net and the trainer beside it."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from aeanomaly.data.base import OneClassDataModule


def configured_data(described: Namespace | dict[str, object] | None) -> OneClassDataModule:
    """A data source by its ``class_path`` and ``init_args``, not yet prepared.

    Raises:
        ArgumentError, ImportError, TypeError, ValueError: as jsonargparse does, for what describes none, and for
            options that the data source refuses.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(OneClassDataModule, "data")
    data: OneClassDataModule = parser.instantiate(parser.parse_object({"data": described})).data
    return data
