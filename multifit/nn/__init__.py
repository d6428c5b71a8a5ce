"""Forward passes of the parts of networks."""

from ._attention import layer_norm as layer_norm
from ._attention import softmax as softmax
