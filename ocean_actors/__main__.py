"""`python -m ocean_actors` is the same program as `ocean-actors`."""

import sys

from ocean_actors.cli import main

sys.exit(main())
