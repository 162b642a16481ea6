"""The `deepseq` command: one thin module for each group of commands."""
