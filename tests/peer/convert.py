"""Print an input in the current style, converted by deepmd-kit: ``python convert.py FILE``."""

import json
import sys
from pathlib import Path

from deepmd.utils.compat import update_deepmd_input

given = json.loads(Path(sys.argv[1]).read_text())
print(json.dumps(update_deepmd_input(given, warning=False)))
