"""Cached features in batches: every row once an epoch, and `fit` as on the arrays."""

import keras
import numpy as np
import pytest

from keras_localize import FeatureBatches, build_localizer


def cached(rng, count=10):
    row = np.arange(count, dtype="float32")
    maps = [
        np.broadcast_to(row[:, None, None, None], (count, 4, 4, 2)).astype("float16"),
        rng.normal(size=(count, 2, 2, 3)).astype("float32"),
    ]
    boxes = np.stack([0 * row, 0 * row, 0.5 + 0 * row, (1 + row) / 20], axis=1)
    weights = {"label": np.ones(count, "float32"), "box": row}
    return maps, {"label": row.astype("int32"), "box": boxes}, weights


def test_every_row_comes_once_an_epoch_whole_and_in_a_new_order(rng):
    batches = FeatureBatches(*cached(rng), batch_size=4, seed=3)
    assert [len(batches[i][0][0]) for i in range(len(batches))] == [4, 4, 2]
    orders = []
    for _ in range(3):
        order = []
        for i in range(len(batches)):
            maps, targets, weights = batches[i]
            assert maps[0].dtype == "float32"
            rows = maps[0][:, 0, 0, 0]
            np.testing.assert_array_equal(targets["label"], rows)
            np.testing.assert_allclose(targets["box"][:, 3], (1 + rows) / 20)
            np.testing.assert_array_equal(weights["box"], rows)
            order.append(frozenset(rows.tolist()))
        assert frozenset().union(*order) == frozenset(range(10))
        orders.append(tuple(order))
        batches.on_epoch_end()
    assert len(set(orders)) == 3
    again = FeatureBatches(*cached(rng), batch_size=4, seed=3)
    assert frozenset(again[0][1]["label"].tolist()) == orders[0][0]


def test_in_order_where_it_is_not_shuffled(rng):
    batches = FeatureBatches(*cached(rng), batch_size=4, shuffle=False)
    batches.on_epoch_end()
    assert batches[1][1]["label"].tolist() == [4, 5, 6, 7]


@pytest.mark.long
def test_fit_learns_the_same_as_from_the_arrays(backbone, batch):
    losses = []
    x, y, w = batch
    for wrapped in (False, True):
        keras.utils.set_random_seed(0)
        localizer = build_localizer(backbone, 3, dropout=0.0)
        features, heads = localizer.split()
        maps = features.predict(x, verbose=0)
        heads.compile()
        if wrapped:
            data = [FeatureBatches(maps, y, w, batch_size=4, shuffle=False)]
            options = {}
        else:
            data, options = [maps, y], {"sample_weight": w, "batch_size": 4}
        history = heads.fit(*data, epochs=3, shuffle=False, verbose=0, **options)
        losses.append(history.history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_bad_sizes_and_ends(rng):
    with pytest.raises(ValueError, match="batch_size=0"):
        FeatureBatches(*cached(rng), batch_size=0)
    with pytest.raises(ValueError, match=r"`seed` must be None or an int.*seed=1.5"):
        FeatureBatches(*cached(rng), seed=1.5)
    with pytest.raises(IndexError, match="batch 3 of 3"):
        FeatureBatches(*cached(rng), batch_size=4)[3]


def test_one_array_of_targets(rng):
    maps, targets, weights = cached(rng)
    batches = FeatureBatches(maps, targets["box"], weights["box"], 4, shuffle=False)
    _, boxes, weight = batches[2]
    np.testing.assert_array_equal(boxes, targets["box"][8:])
    assert weight.tolist() == [8, 9]


def test_what_would_lose_rows_is_refused(rng):
    maps, targets, weights = cached(rng)
    for options in ({"workers": 2}, {"use_multiprocessing": True}):
        with pytest.raises(ValueError, match="`workers` must be 1"):
            FeatureBatches(maps, targets, weights, **options)
    short = {**weights, "box": weights["box"][:9]}
    with pytest.raises(ValueError, match=r"same number of rows.*\[9, 10\]"):
        FeatureBatches(maps, targets, short)


def test_without_the_remainder_all_batches_are_whole(rng):
    batches = FeatureBatches(*cached(rng), batch_size=4, drop_remainder=True, seed=0)
    seen = set()
    for _ in range(20):
        sizes = [len(batches[i][1]["label"]) for i in range(len(batches))]
        assert sizes == [4, 4]
        seen |= {int(x) for i in range(2) for x in batches[i][1]["label"]}
        batches.on_epoch_end()
    assert seen == set(range(10))
    with pytest.raises(ValueError, match="`drop_remainder=True` needs"):
        FeatureBatches(*cached(rng), batch_size=11, drop_remainder=True)


def test_an_epoch_has_its_order(rng):
    batches = FeatureBatches(*cached(rng), batch_size=4, seed=3)
    orders = []
    for _ in range(3):
        orders.append([batches[i][1]["label"].tolist() for i in range(3)])
        batches.on_epoch_end()
    batches.set_epoch(1)
    assert [batches[i][1]["label"].tolist() for i in range(3)] == orders[1]
