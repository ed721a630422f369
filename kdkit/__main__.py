"""``python -m kdkit``: train teachers and students without a notebook."""

import sys

from kdkit.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
