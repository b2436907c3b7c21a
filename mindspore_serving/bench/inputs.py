"""Files and shape specs -> instances: a dict of numpy arrays, str or bytes for each."""

import json
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from mindspore_serving.bench.input_spec import NUMBER_BYTES, InputSpec
from mindspore_serving.cluster.errors import SetupError

NamedValues: TypeAlias = dict[str, Any]  # by the name of an input or output

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def random_instance(specs: tuple[InputSpec, ...], generator: np.random.Generator) -> NamedValues:
    """One instance with values of these types and shapes."""
    return {spec.name: _random_value(spec, generator) for spec in specs}


def _random_value(spec: InputSpec, generator: np.random.Generator) -> Any:
    if spec.dtype == "bytes":
        return generator.bytes(spec.shape[0])
    if spec.dtype == "str":
        return "".join(_LETTERS[index] for index in generator.integers(0, len(_LETTERS), spec.shape[0]))
    if spec.dtype.startswith("float"):
        return np.asarray(generator.random(spec.shape), spec.dtype)
    return np.asarray(generator.integers(0, 2 if spec.dtype == "bool" else 10, spec.shape), spec.dtype)


def read_values(file: Path, what: str) -> list[NamedValues]:
    """The instances of a .npz or .json file, each a dict by name. `what` names the option. Raises SetupError."""
    try:
        if file.suffix == ".npz":
            return [_from_npz(f"{what} {file}", np.load(file, allow_pickle=False))]
        if file.suffix == ".json":
            return _from_json(f"{what} {file}", json.loads(file.read_text()))
    except OSError as error:
        raise SetupError(f"{what} {file} cannot be read: {error.strerror or error}") from error
    except SetupError:
        raise
    except Exception as error:  # json, zipfile, zlib and numpy each have their own for a file that is broken
        raise SetupError(f"{what} {file} cannot be read: {error}") from error
    raise SetupError(f"{what} {file} should be a .npz or a .json file")


def _from_npz(what: str, found: Any) -> NamedValues:
    if isinstance(found, np.ndarray):
        raise SetupError(f"{what} has an array without a name: write it with numpy.savez(FILE, NAME=array)")
    with found:
        return {name: _known(f"{what}: {name}", np.asarray(found[name])) for name in found.files}


def _from_json(what: str, found: Any) -> list[NamedValues]:
    instances = found if isinstance(found, list) else [found]
    if not instances or not all(isinstance(instance, dict) and instance for instance in instances):
        raise SetupError(f"{what} should have an object with a value by name, or a list of such objects")
    return [
        {name: _from_json_value(f"{what}: {name}", value) for name, value in instance.items()} for instance in instances
    ]


def _from_json_value(what: str, value: Any) -> Any:
    """As the RESTful door reads JSON: whole numbers become int32, those with a point float32."""
    if isinstance(value, str):
        return value
    try:
        array = np.asarray(value)
    except ValueError:
        raise SetupError(f"{what}: its lists are not equally long") from None
    narrow = {"int64": np.int32, "float64": np.float32}.get(array.dtype.name)
    if narrow is np.int32 and array.size and not -(2**31) <= array.min() <= array.max() < 2**31:
        raise SetupError(f"{what}: a whole number of it does not fit into int32: give it in a .npz file")
    return _known(what, array if narrow is None else array.astype(narrow))


def _known(what: str, array: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    if array.dtype.name not in NUMBER_BYTES:
        raise SetupError(f"{what}: the type {array.dtype.name} cannot be sent, only {', '.join(NUMBER_BYTES)}")
    return array
