"""Gradients of a model that TensorFlow trains on several devices at once."""

from typing import Any

import keras


def clipped_together(grads: list[Any], clipnorm: float | None) -> list[Any]:
    """Gradients of a replica whose sum over all replicas is clipped as on one device.

    Under `tf.distribute.MirroredStrategy` Keras clips the gradients of each replica,
    then adds them. The result depends on the number of replicas.

    Args:
        grads: the gradients of this replica; None for a variable without one.
        clipnorm: the greatest norm of the gradient of one variable, or None.

    Returns:
        `grads` itself on one device. Else, on each replica the same share of the
        clipped sum.
    """
    if not clipnorm or keras.config.backend() != "tensorflow":
        return grads
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return grads
    sums = iter(replica.all_reduce("SUM", [grad for grad in grads if grad is not None]))
    count = replica.num_replicas_in_sync
    return [
        grad if grad is None else tf.clip_by_norm(next(sums), clipnorm) / count
        for grad in grads
    ]
