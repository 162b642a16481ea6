"""All rows, in the order in which they are printed."""

from . import folders

SHARE = 1.0  # of the full numbers; what scales the size of one case
ROWS = [*folders.ROWS]
