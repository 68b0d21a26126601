"""How the parser reads YAML, in configs, in the files that options name, and in the options themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader

from aeanomaly.errors import UserError
from aeanomaly.runs.files import refuse_aliases_without_end

_stock = get_loader("yaml")


def load_yaml(text: str) -> Any:
    """As jsonargparse reads it, which would follow aliases of aliases for years.

    Raises:
        yaml.YAMLError: which the parser expects, if it is none, or its aliases stand for too many values.
    """
    try:
        refuse_aliases_without_end(text, Path("YAML"))
    except UserError as error:
        raise yaml.YAMLError(str(error)) from None
    return _stock(text)
