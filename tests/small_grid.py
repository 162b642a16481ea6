"""A grid of two short runs, and what of its table does not hang on how it was made."""

from pathlib import Path

import pandas as pd

GRID = 'families = "synthetic"\npresets = "quick"\nsteps = 1500\nsamples = 4\nseeds = [1, 2]\n[train]\ncheckpoint_every = 50\n'
TIMED = ("_s", "made", "resumed_from", "peak_mib", "threads", "cores", "commit")


def numbers(table: Path) -> pd.DataFrame:
    """What does not hang on the machine, the hour, or how often it was interrupted."""
    rows = pd.read_csv(table)
    return rows[[name for name in rows if not name.endswith(TIMED)]]
