"""Turn a .dp model into a checkpoint that deepmd-kit's Paddle backend evaluates.

``python paddle_checkpoint.py model.dp model.pd`` in deepmd-kit's Python. Its ``convert-backend``
writes a static program for Paddle, which ``DeepPot`` does not open with Paddle 3.3.
"""

from __future__ import annotations

import sys


def main(source, target):
    """Convert."""
    import paddle
    from deepmd.dpmodel.utils.serialization import load_dp_model
    from deepmd.pd.model.model.model import BaseModel
    from deepmd.pd.train.wrapper import ModelWrapper

    data = load_dp_model(source)
    model = BaseModel.deserialize(data["model"])
    wrapper = ModelWrapper(model, model_params=data["model_def_script"])
    paddle.save({"model": wrapper.state_dict()}, target)


if __name__ == "__main__":
    main(*sys.argv[1:])
