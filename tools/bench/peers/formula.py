"""Weights and pixels that are a function of their names, as packages/models/src/formula-weights.ts."""

import math

import numpy as np
import torch

MASK = np.uint64(0xFFFFFFFF)


def words(name, count):
    """The first `count` words of the stream `name`, uint64 below 2^32."""
    seed = 0x811C9DC5
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x01000193) & 0xFFFFFFFF
    z = (np.uint64(seed) + np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B9)) & MASK
    z = ((z ^ (z >> np.uint64(16))) * np.uint64(0x21F0AAAD)) & MASK
    z = ((z ^ (z >> np.uint64(15))) * np.uint64(0x735A2D97)) & MASK
    return z ^ (z >> np.uint64(15))


def uniforms(name, shape):
    """Uniforms in [-1, 1) of the stream `name`, float64, in C order."""
    count = int(np.prod(shape))
    return words(name, count).astype(np.float64).reshape(shape) / 2**31 - 1


def spread(name, shape, names):
    """Offset and scale of the parameter `name`."""
    if name.endswith("running_var"):
        return 1, 0.5
    if len(shape) == 1:
        norm = name.endswith("weight") and name[: -len("weight")] + "running_mean" in names
        return (1, 0.1) if norm else (0, 0.1)
    return 0, math.sqrt(6 / int(np.prod(shape[1:])))


def fill(module, prefix):
    """Gives every parameter of `module` its value, and the module back in evaluation mode."""
    state = module.state_dict()
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        offset, scale = spread(name, tensor.shape, state)
        values = offset + scale * uniforms(prefix + name, tuple(tensor.shape))
        state[name] = torch.from_numpy(values.astype(np.float32))
    module.load_state_dict(state)
    return module.eval()


def pixels(name, count, side=140):
    """RGB pictures, uint8 [count, side, side, 3]."""
    low = words(name, count * side * side * 3) & np.uint64(255)
    return low.astype(np.uint8).reshape(count, side, side, 3)
