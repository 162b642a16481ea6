"""All rows, in the order in which they are printed."""

from . import folders, inputs, machine, processes

SHARE = 1.0  # of the full numbers; what scales the size of one case
ROWS = [*inputs.ROWS, *folders.ROWS, *processes.ROWS, *machine.ROWS]
