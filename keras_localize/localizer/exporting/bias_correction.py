"""Biases of a LiteRT file that make up for the rounding of its weights to int8."""

import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_localize.arrays import to_numpy

# A symmetric int8 weight is -127 ... 127 times the scale of its output channel.
_LEVELS = 127


def correct_biases(path: Path, samples: Iterable[Mapping[str, np.ndarray]]) -> None:
    """Changes biases by what rounded weights move the mean of each channel.

    Rounding moves a channel by (rounded weights - weights) * inputs. Its mean over the
    samples is known before the file is quantized, and is taken off the bias. In small
    networks, where weights of a depthwise convolution reach 75 and biases of 30 cancel
    them, that is most of what int8 costs. Nagel et al., "Data-Free Quantization Through
    Weight Equalization and Bias Correction", 2019, https://arxiv.org/abs/1906.04721

    Args:
        path: a float LiteRT file; it is replaced.
        samples: inputs of the file like those that it will see.
    """
    files: Any = importlib.import_module("ai_edge_litert.tools.flatbuffer_utils")
    model = files.read_model(str(path))
    convolutions = list(_convolutions(model))
    means = _means(path, samples, [one.inputs for one in convolutions])
    for convolution, mean in zip(convolutions, means):
        convolution.bias.data = _bytes(
            _floats(convolution.bias) - _mean_shift(convolution, mean)
        )
    files.write_model(model, str(path))


class _Convolution(NamedTuple):
    inputs: int  # index of the tensor
    kernel: np.ndarray  # (out, height, width, in), depthwise (1, height, width, out)
    bias: Any  # the buffer; no other operator reads it
    depthwise: bool
    options: Any


def _convolutions(model: Any) -> Iterable[_Convolution]:
    """The convolutions that have a bias of their own."""
    schema: Any = importlib.import_module("ai_edge_litert.schema_py_generated")
    kinds = (
        schema.BuiltinOperator.CONV_2D,
        schema.BuiltinOperator.DEPTHWISE_CONV_2D,
    )
    graph = model.subgraphs[0]
    read = [
        graph.tensors[index].buffer
        for operator in graph.operators
        for index in operator.inputs
        if index >= 0
    ]
    for operator in graph.operators:
        kind = model.operatorCodes[operator.opcodeIndex].builtinCode
        if kind not in kinds or len(operator.inputs) < 3:
            continue
        inputs, kernel, bias = operator.inputs
        buffer = graph.tensors[bias].buffer
        if bias < 0 or read.count(buffer) > 1:
            continue
        weights = graph.tensors[kernel]
        yield _Convolution(
            inputs,
            _floats(model.buffers[weights.buffer]).reshape(weights.shape),
            model.buffers[buffer],
            kind == schema.BuiltinOperator.DEPTHWISE_CONV_2D,
            operator.builtinOptions,
        )


def _means(
    path: Path, samples: Iterable[Mapping[str, np.ndarray]], tensors: list[int]
) -> list[np.ndarray]:
    """The means of tensors over the samples."""
    litert: Any = importlib.import_module("ai_edge_litert.interpreter")
    interpreter = litert.Interpreter(str(path), experimental_preserve_all_tensors=True)
    run = interpreter.get_signature_runner()
    totals, count = [0.0] * len(tensors), 0
    for sample in samples:
        run(**sample)
        totals = [
            total + interpreter.get_tensor(index).astype("float64")
            for total, index in zip(totals, tensors)
        ]
        count += 1
    return [np.asarray(total) / count for total in totals]


def _mean_shift(convolution: _Convolution, mean: np.ndarray) -> np.ndarray:
    """What rounding adds to the mean of each output channel, from the mean input.

    A convolution is linear: its mean output is its output for the mean input.
    """
    options = convolution.options
    added = _rounded(convolution.kernel, convolution.depthwise) - convolution.kernel
    if convolution.depthwise:
        convolve = ops.depthwise_conv
        kernel = added[0].reshape(*added.shape[1:3], mean.shape[-1], -1)
    else:
        convolve = ops.conv
        kernel = added.transpose(1, 2, 3, 0)
    schema: Any = importlib.import_module("ai_edge_litert.schema_py_generated")
    shift = convolve(
        mean.astype("float32"),
        kernel,
        strides=(options.strideH, options.strideW),
        padding="same" if options.padding == schema.Padding.SAME else "valid",
        data_format="channels_last",
        dilation_rate=(options.dilationHFactor, options.dilationWFactor),
    )
    return to_numpy(shift).mean(axis=(0, 1, 2))


def _rounded(kernel: np.ndarray, depthwise: bool) -> np.ndarray:
    """The weights as int8 holds them, with one scale for each output channel."""
    axes = (0, 1, 2) if depthwise else (1, 2, 3)
    scale = np.abs(kernel).max(axis=axes, keepdims=True) / _LEVELS
    scale = np.where(scale > 0, scale, 1)
    return np.round(kernel / scale) * scale


def _floats(buffer: Any) -> np.ndarray:
    return np.frombuffer(bytes(buffer.data), "<f4")


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.frombuffer(values.astype("<f4").tobytes(), "uint8")
