"""`python -m neuropt` is the command `neuropt`."""

import sys

from neuropt.cli import main

if __name__ == "__main__":
    sys.exit(main())
