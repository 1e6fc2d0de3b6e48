"""The weights of trained networks in one safetensors file, by readable names, mostly in half precision.

A tensor's name is that of its network in a checkpoint, of its layer, and of the weight: generator/g_h1/kernel. Networks
and layers have the same names in every process and on every device, so the file fits wherever the run's settings do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from histogan_tf.errors import UserError, listing

if TYPE_CHECKING:
    import keras

WEIGHTS_FILE = "weights.safetensors"

_AVERAGE = "_average"
_FEW = 1024  # numbers
_HALF_ROUNDING = 2.0**-11  # the largest relative error of rounding to half precision


def network_name(name: str) -> str:
    """Returns the name of a network for the name that it has in a checkpoint, where `X_average` is an average of `X`.

    A run with an average samples from it, so that an average takes the network's place wherever weights are handed on.
    """
    return name.removesuffix(_AVERAGE)


def named_weights(networks: Mapping[str, Any]) -> dict[str, keras.Variable]:
    """Returns the weights of networks, by the names that they have in a file.

    Args:
        networks: Keras models or layers, by the names that they have in a checkpoint. Their layers must have names of
            their own, as Keras numbers the others by how many the process has made.
    """
    weights: dict[str, keras.Variable] = {}
    for name, network in networks.items():
        for variable in network.weights:
            path = f"{network_name(name)}/{variable.path.removeprefix(f'{network.name}/')}"
            assert path not in weights, f"two weights are called {path}: give the layers names"
            weights[path] = variable
    return weights


def write_weights(path: Path, networks: Mapping[str, Any]) -> None:
    """Writes all weights of networks to a file.

    Weights in single precision become half precision. Those that would lose more than rounding stay as they are: a
    trained weight may err by 2^-11 of the largest in its tensor, and a statistic (such as a moving variance, by which
    others are divided) by 2^-11 of itself. Half precision ends at 65504, and loses digits below 0.00006. Statistics of
    fewer than 1,024 numbers stay as they are too: they take little space, and some decide between choices, such as the
    ends of the modes' intervals.

    Args:
        path: the file to write.
        networks: Keras models or layers, by the names that they have in a checkpoint.
    """
    from safetensors.numpy import save

    stored = {name: _stored(variable) for name, variable in named_weights(networks).items()}
    path.write_bytes(save(stored))  # save_file would let nobody else read the file


def _stored(variable: keras.Variable) -> np.ndarray:
    values = np.array(variable.numpy(), order="C")  # safetensors stores the memory as it lies; also of scalars
    if values.dtype != np.float32 or (values.size < _FEW and not variable.trainable):
        return values
    with np.errstate(over="ignore"):  # what is too large becomes infinity, whose error is too large as well
        halved = values.astype(np.float16)
    scale = np.abs(values).max(initial=0.0) if variable.trainable else np.abs(values)
    fits = np.abs(halved.astype(np.float32) - values) <= _HALF_ROUNDING * scale
    return halved if fits.all() else values


def read_weights(path: Path, networks: Mapping[str, Any]) -> None:
    """Sets all weights of networks to those in a file; the file may hold other networks too.

    Args:
        path: a file that `write_weights` wrote.
        networks: Keras models or layers, by the names that they have in a checkpoint.

    Raises:
        UserError: if the file is damaged or truncated, or a tensor is missing, has another shape or kind than the
            network, holds values that are not finite, or has no place in the network. No weight is changed then.
    """
    weights = named_weights(networks)
    tensors = _read_tensors(path, {name.split("/")[0] for name in weights})
    for name, variable in weights.items():
        shape = tuple(variable.shape)
        if name not in tensors:
            raise UserError(f"{path} lacks the tensor {name}, {shape}: {_REMEDY}")
        if tensors[name].shape != shape:
            raise UserError(f"{path}: the tensor {name} is {tensors[name].shape} where {shape} is expected: {_REMEDY}")
        if np.issubdtype(tensors[name].dtype, np.floating) != np.issubdtype(variable.dtype, np.floating):
            raise UserError(f"{path}: the tensor {name} is {tensors[name].dtype} and not {variable.dtype}: {_REMEDY}")
        if not np.isfinite(tensors[name]).all():
            raise UserError(f"{path}: the tensor {name} holds NaN or infinity: {_REMEDY}")
    if unknown := sorted(tensors.keys() - weights.keys()):
        raise UserError(f"{path} holds tensors that the network has not, {listing(unknown, most=3)}: {_REMEDY}")
    for name, variable in weights.items():
        variable.assign(tensors[name].astype(variable.dtype))


def networks_in(path: Path) -> set[str]:
    """Returns the names of the networks whose weights are in a file.

    Raises:
        UserError: if the file is damaged or truncated.
    """
    return {name.split("/")[0] for name in _names_and_tensors(path, lambda name: False)}


_REMEDY = "put a good copy of the exported folder in its place, or export it anew"


def _read_tensors(path: Path, networks: Iterable[str]) -> dict[str, np.ndarray]:
    found = _names_and_tensors(path, lambda name: name.split("/")[0] in networks)
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def _names_and_tensors(path: Path, is_wanted: Any) -> dict[str, np.ndarray | None]:
    """Returns the tensors in a file by name; None for those that are not wanted."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) if is_wanted(name) else None for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError, ValueError) as error:  # TypeError: a dtype that NumPy does not have
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise UserError(f"{path} is missing, truncated or damaged ({reason}): {_REMEDY}") from error
