"""The two ways in which aeanomaly speaks up about a problem."""


class UserError(ValueError):
    """A mistake that the user can mend.

    The message is one line: what is wrong, where, and what to do. The command line prints it without a traceback.
    """


class AnomalyWarning(UserWarning):
    """A result that is technically valid and very likely not what was meant, such as an AUROC below 0.5."""
