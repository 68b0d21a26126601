"""How aeanomaly speaks up about a problem, and what it suggests for an unknown name."""

import difflib
from collections.abc import Collection


class UserError(ValueError):
    """A mistake that the user can mend.

    The message is one line: what is wrong, where, and what to do. The command line prints it without a traceback.
    """


class DivergedError(UserError):
    """Training whose loss or weights are no numbers any more."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, for a command that is to end by it as by Ctrl-C. It has arguments once the user has been told."""


class AnomalyWarning(UserWarning):
    """A result that is technically valid and very likely not what was meant, such as an AUROC below 0.5."""


def suggestion(name: str, known: Collection[str], parts: Collection[str] = ()) -> str:
    """The end of a message about an unknown name: the closest of ``known`` and their ``parts``, else all known."""
    close = difflib.get_close_matches(name, [*known, *parts], n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known)}"
