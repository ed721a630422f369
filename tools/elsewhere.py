"""pip, which reads "only on Windows" and the like as another platform would.

    python tools/elsewhere.py MARKERS ...      MARKERS: JSON, such as {"sys_platform": "win32"}; the rest is pip's

pip's own --platform chooses among wheels, but what a requirement asks of the platform ("; sys_platform == 'win32'") it
compares with the machine that it runs on: from Linux, a download for Windows would want Linux's CUDA libraries.
"""

import json
import sys

from pip._internal.cli.main import main
from pip._vendor.packaging import markers

if __name__ == "__main__":
    there = markers.default_environment() | json.loads(sys.argv[1])
    markers.default_environment = lambda: there
    sys.exit(main(sys.argv[2:]))
