"""``python -m danzar``."""

import sys

from danzar.cli import main

if __name__ == "__main__":
    sys.exit(main())
