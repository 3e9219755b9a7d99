"""Trains a localizer on several devices with torch: one process for each device.

    pip install torch
    export KERAS_BACKEND=torch
    torchrun --nproc_per_node=2 train_torch_ddp.py localizer.keras --data-dir pets/

Keras leaves several devices to torch: `DistributedDataParallel` (DDP) averages the
gradients of all processes, and the loop of the training is your own. Losses and
targets are still those of `localizer.compile()`. Each process reads its share of the
images, `dataset.shard`. The process of rank 0 writes the file.

`localizer.keras` is an untrained localizer, or a trained one that is trained further;
the result replaces it. On several machines, add the options `--nnodes` and
`--rdzv-endpoint` of torchrun.
"""

import argparse
import os

import keras
import numpy as np
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import keras_localize as kl


def train(
    localizer: kl.Localizer,
    data: kl.LocalizationDataset,
    *,
    epochs: int,
    batch_size: int,
    peak_rate: float = 1e-3,
    seed: int = 0,
) -> list[float]:
    """Trains in this process, together with all others.

    Args:
        localizer: a localizer with the same weights in every process; compiled here.
        data: the training images, the same in every process.
        epochs: number of epochs.
        batch_size: images per step, of all processes together.
        peak_rate: highest learning rate of the one-cycle schedule.
        seed: of the order and the random views.

    Returns:
        The mean loss of each epoch, over all processes.
    """
    rank, count = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(seed * count + rank)  # each process has its own dropout
    size = localizer.image_size
    share = data.shard(rank, count, drop_remainder=True)
    batches = share.to_pydataset(
        size,
        batch_size // count,
        shuffle=True,
        augment=kl.RandomSquareView(size, bounding_box_format="rel_xyxy"),
        seed=seed * count + rank,
        drop_remainder=True,
    )
    localizer.compile()
    weights = [variable.value for variable in localizer.trainable_variables]
    optimizer = torch.optim.AdamW(weights, peak_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, peak_rate, total_steps=epochs * len(batches)
    )
    model = DistributedDataParallel(localizer)
    losses = []
    for _ in range(epochs):
        total = 0.0
        for i in range(len(batches)):
            images, targets, sample_weights = batches[i]
            optimizer.zero_grad()
            outputs = model(keras.ops.convert_to_tensor(images), training=True)
            loss = localizer.compute_loss(images, targets, outputs, sample_weights)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        batches.on_epoch_end()
        mean = torch.tensor(total / len(batches))
        dist.all_reduce(mean)
        losses.append(float(mean) / count)
    return losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("localizer", help="file of the localizer")
    parser.add_argument("--data-dir", required=True, help="folder of Oxford-IIIT Pet")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=64)
    args = parser.parse_args()
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if on_gpu else "gloo")
    localizer = keras.saving.load_model(args.localizer)
    data = kl.load_oxford_pets(args.data_dir, labels="breed")
    options = {"epochs": args.epochs, "batch_size": args.batch_size}
    losses = train(localizer, data, **options)
    if dist.get_rank() == 0:
        print("loss of each epoch:", np.round(losses, 4).tolist())
        localizer.save(args.localizer, include_optimizer=False)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
