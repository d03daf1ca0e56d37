"""``python -m seqrs``: the command line."""

import sys

from seqrs.cli import main

sys.exit(main())
