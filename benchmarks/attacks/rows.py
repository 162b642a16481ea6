"""All rows, in the order in which they are printed."""

from . import downloads, folders, inputs, load, machine, names, processes

ROWS = [
    *inputs.ROWS, *folders.ROWS, *processes.ROWS, *machine.ROWS, *downloads.ROWS, *load.ROWS, *names.ROWS,
]  # fmt: skip
