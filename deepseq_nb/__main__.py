"""`python -m deepseq_nb`: the command `deepseq` without its script."""

import sys

from deepseq_nb.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
