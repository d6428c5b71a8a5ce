"""What TensorFlow alone has: a ``tf.Module``, and gradients compiled by XLA."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from _cases import SystemBatch
