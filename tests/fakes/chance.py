"""The seed of what tests leave to chance.

A run that decides on a change is the same each time; `make torture` and whoever sets
`TOCSIN_TORTURE_SEED` look for what such a run cannot find.
"""

import os

CHOSEN = os.environ.get("TOCSIN_TORTURE_SEED", "")
SEED = CHOSEN or "1"
