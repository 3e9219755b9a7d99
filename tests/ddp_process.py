"""One of the processes of test_ddp_example; what its model predicts goes to a file.

torchrun ... ddp_process.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np
import torch.distributed as dist
from test_ddp_example import (
    EXAMPLE,
    OPTIONS,
    data_and_localizer,
    outputs_of,
    train_function,
)


def main(folder):
    dist.init_process_group("gloo")
    data, localizer = data_and_localizer()
    losses = train_function(EXAMPLE)(localizer, data, **OPTIONS)
    np.savez(
        folder / f"rank_{dist.get_rank()}.npz",
        outputs=outputs_of(localizer, data),
        losses=losses,
    )
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
