"""Functions that a cluster's workers are sent to."""

import os
import signal
from pathlib import Path

from deepseq_nb.core.errors import ConfigError


def times(factor: int):
    """A function that multiplies."""
    return lambda part: [factor * number for number in part]


def dies_once(marker: str):
    """A function whose worker is killed with the part 3, the first time."""

    def doubled(part: int) -> int:
        if part == 3 and not Path(marker).exists():
            Path(marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return 2 * part

    return doubled


def refuses(shared: None):
    """A function that refuses the part 2."""

    def refused(part: int) -> int:
        if part == 2:
            raise ConfigError("part 2 is not wanted", setting="part")
        return part

    return refused
