"""What a servable_config.py said, as data: models, and methods as stages that pass values on.

A Collector takes it down while the file runs; it is found through a context variable, so that the authoring API needs
no state of its own.
"""

import functools
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from mindspore_serving.cluster.errors import ServableError
from mindspore_serving.worker.device_context import Context

Call = TypeVar("Call", bound=Callable[..., Any])


class Model:
    """A declared model. In a method it is a stage: `add_stage(model, x1, x2, outputs_count=1)`.

    files: relative to the version's folder; more than one are the subgraphs of one model. Only declare_model makes a
    model that can be loaded: one made by hand refuses its calls.
    without_batch_dim_inputs: indices of inputs that all instances of a batch share. place: its `file:line`.
    """

    def __init__(
        self,
        files: str | tuple[str, ...],
        with_batch_dim: bool = True,
        without_batch_dim_inputs: frozenset[int] = frozenset(),
        context: Context | None = None,
        place: str = "",
    ) -> None:
        self.place = place
        self.files = (files,) if isinstance(files, str) else files
        self.with_batch_dim = with_batch_dim
        self.without_batch_dim_inputs = without_batch_dim_inputs
        self.context = context
        self._call: Callable[[tuple[Any, ...], int], Any] | None = None

    @property
    def key(self) -> str:
        """How texts name the model: its files."""
        return ";".join(self.files)

    def bind(self, call: Callable[[tuple[Any, ...], int], Any]) -> None:
        """The loader's: from now on, calls are carried out by this."""
        self._call = call

    def call(self, *args: Any, subgraph: int = 0) -> Any:
        """Runs the model inside a stage's function, on one instance or on a list of them.

        `call(x1, x2)` gives one array, or a tuple when the model has several outputs. `call([[x1, x2], [x3, x4]])`
        gives a tuple of outputs for each instance. subgraph: which of the model's files. Raises RuntimeError.
        """
        if self._call is None:
            raise ServableError(
                f"Model({self.key}).call() failed: the model is not declared in the servable that is running, or not "
                "loaded yet: call it inside a stage function"
            )
        return self._call(args, subgraph)


@dataclass(frozen=True, eq=False)
class Placeholder:
    """Stands for a value while a method is defined: number `index` among the method's values."""

    method: str
    index: int

    def __bool__(self) -> bool:
        raise TypeError(f"a {type(self).__name__} is neither true nor false")


# Python names the class when a method unpacks a single result: with the name that the original's users know.
Placeholder.__name__ = "_TensorDef"


@dataclass(frozen=True, eq=False)
class Stage:
    """One step of a method: a model or a function, with the values it takes and gives (numbers within the method)."""

    index: int  # counted from 1, as users see it
    work: Model | Callable[..., Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    batch_size: int | None = None  # of a function: None is per instance, 0 as many as there are, N at most N
    label: str = ""  # how error texts name it
    place: str = ""  # its `file:line`


@dataclass(frozen=True, eq=False)
class Method:
    """What a client can call: values 0.. are the inputs, each stage adds more, `returned` are the outputs."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    stages: tuple[Stage, ...]
    returned: tuple[int, ...]
    idempotent: bool = True  # an instance may run again when it is not known whether it has run


@dataclass(frozen=True)
class Declarations:
    """A whole servable_config.py."""

    models: tuple[Model, ...]
    methods: Mapping[str, Method]


@dataclass
class MethodDraft:
    """The method that is being defined."""

    name: str
    outputs: tuple[str, ...]
    results_of: Mapping[str, int]  # how many results the body unpacks from each old-style call
    stages: list[Stage] = field(default_factory=list)
    values: int = 0
    old_calls: list[str] = field(default_factory=list)  # old-style calls so far, in order
    has_add_stage: bool = False

    def new_values(self, count: int) -> tuple[Placeholder, ...]:
        self.values += count
        return tuple(Placeholder(self.name, index) for index in range(self.values - count, self.values))


class Collector:
    """Takes down one servable_config.py. Owned by the loader.

    record: takes down mistakes, and the file is read on; None: the first one ends it.
    """

    def __init__(self, servable: str, folder: Path, record: Callable[[Exception], None] | None = None) -> None:
        self.servable = servable
        self.folder = folder
        self.record = record
        self.models: list[Model] = []
        self.methods: dict[str, Method] = {}
        self.draft: MethodDraft | None = None
        self.model_uses: dict[Model, tuple[int, int]] = {}  # -> inputs, outputs
        self.functions: dict[Callable[..., Any], tuple[int, int, bool]] = {}  # -> inputs, outputs, batched

    def place(self) -> str:
        """Where in the servable's own code we are: `file:line`."""
        return place_in(self.folder)

    def declarations(self) -> Declarations:
        """The finished record. Raises ServableError when no method was registered."""
        if not self.methods:
            raise ServableError(no_method(self.servable))
        return Declarations(tuple(self.models), dict(self.methods))


def no_method(servable: str) -> str:
    """What an author is told who has forgotten to register one."""
    return (
        f"There is no method registered for servable {servable}: "
        'put @register.register_method(output_names=["y"]) above a function'
    )


def place_in(folder: Path, error: BaseException | None = None) -> str:
    """The deepest place in this folder's code, of an error or of this call: `file:line`, or nothing."""
    frames = [*traceback.extract_stack(), *traceback.extract_tb(error.__traceback__ if error else None)]
    own = [frame for frame in frames if frame.filename.startswith(f"{folder}/")]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else ""


def forgiving(instead: Callable[..., Any]) -> Callable[[Call], Call]:
    """Decorates a call of the authoring API: where mistakes are taken down, `instead` gives a result to read on with.

    `instead` gets the collector and the call's arguments.
    """

    def decorate(function: Call) -> Call:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            collector = _collector.get(None)
            if collector is None or collector.record is None:
                return function(*args, **kwargs)
            try:
                return function(*args, **kwargs)
            except Exception as error:
                collector.record(error)
                return instead(collector, *args, **kwargs)

        return cast(Call, call)

    return decorate


_collector: ContextVar[Collector] = ContextVar("servable being loaded")


@contextmanager
def collecting(collector: Collector) -> Iterator[None]:
    """While this lasts, the authoring API writes into this collector."""
    token = _collector.set(collector)
    try:
        yield
    finally:
        _collector.reset(token)


def current_collector(call: str) -> Collector:
    """The collector of the servable that is being loaded. Raises ServableError outside of a load."""
    try:
        return _collector.get()
    except LookupError:
        raise ServableError(
            f"{call} works only in a servable_config.py while a worker loads it: "
            "start it with `python -m worker --servable FOLDER --master HOST:PORT`"
        ) from None


def current_draft(call: str) -> tuple[Collector, MethodDraft]:
    """The method that is being defined. Raises ServableError outside of one."""
    collector = current_collector(call)
    if collector.draft is None:
        raise ServableError(f"{call} should be called inside a function decorated with register_method")
    return collector, collector.draft
