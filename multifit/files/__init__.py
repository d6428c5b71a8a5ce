"""Models and checkpoints on disk: one nested dict in ``.dp``, ``.json`` or ``.yaml``.

The dict holds dicts, lists, text, numbers, booleans and ``None``; arrays lie under the keys
``"@variables"``, as in DeePMD-kit's own files, which are read and written here without DeePMD-kit.

>>> import numpy as np, tempfile, pathlib
>>> from multifit.files import read, write
>>> path = pathlib.Path(tempfile.mkdtemp()) / "layer.dp"
>>> write(path, {"software": "multifit", "@variables": {"w": np.eye(2), "idt": None}})
>>> read(path)["@variables"]["w"].dtype
dtype('float64')
"""

from __future__ import annotations

from multifit.files._atomic import remove_stale as remove_stale
from multifit.files._atomic import try_file as try_file
from multifit.files._formats import read as read
from multifit.files._formats import try_write as try_write
from multifit.files._formats import write as write
from multifit.files._lock import Lock as Lock
from multifit.files._old_names import OLD as OLD
from multifit.files._old_names import old_name as old_name
from multifit.files._values import items as items
from multifit.files._values import mapping as mapping
from multifit.files._values import number as number
from multifit.files._values import parameter as parameter
from multifit.files._values import required as required
from multifit.files._version import check_version as check_version
