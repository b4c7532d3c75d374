"""Entry point of the computing process: ``python -m napari_diptomo.jobs JOB.json``.

`napari_diptomo.jobs.child` holds the protocol.
"""

import os
import sys

from napari_diptomo.jobs.child import main

code = main()
sys.stderr.flush()
# Not sys.exit: a library's thread or destructor must not keep the GPU's memory.
os._exit(code)
