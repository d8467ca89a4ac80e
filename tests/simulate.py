"""`python -m tests.simulate --seeds 1000`: random worlds on a virtual clock, judged by the oracle.

See `tests/simulation/simulated`; `--help` says what can be asked for.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent / "simulation"))
    from simulated.campaign import main

    sys.exit(main())
