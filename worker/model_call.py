"""`Model.call` inside a stage's function: the model runs on MindSpore's thread, the function waits for its outputs."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mindspore_serving.cluster.errors import Failure, ServingError
from mindspore_serving.worker.arrays import Value, from_function
from mindspore_serving.worker.declarations import Model
from mindspore_serving.worker.model_stage import Runnable, run_each
from mindspore_serving.worker.work_thread import WorkThread


class ModelCallError(ServingError):
    """A Model.call cannot be carried out, or one of its instances failed."""


class ModelCall:
    """Carries out the calls of one loaded model, `subgraphs` in the order of its files."""

    def __init__(self, model: Model, subgraphs: Sequence[Runnable], models: WorkThread) -> None:
        self._name = model.key
        self._subgraphs = subgraphs
        self._models = models

    def __call__(self, args: tuple[Any, ...], subgraph: int) -> Any:
        """One instance's outputs, or a tuple of outputs for each of a list of instances. Raises ModelCallError."""
        try:
            graph = self._choose(subgraph)
            if not args:
                raise ModelCallError("no inputs provided")
            if len(args) > 1 or not isinstance(args[0], list | tuple):
                (outputs,) = self._run(graph, [args])
                return outputs[0] if len(outputs) == 1 else outputs
            return self._run(graph, args[0])
        except (ModelCallError, TypeError) as error:
            raise ModelCallError(f"Model({self._name}).call() failed: {error}") from error

    def _choose(self, subgraph: int) -> Runnable:
        if isinstance(subgraph, bool) or not isinstance(subgraph, int):
            raise ModelCallError(f"Parameter 'subgraph' should be int, but actually {type(subgraph)}")
        if not 0 <= subgraph < len(self._subgraphs):
            raise ModelCallError(
                f"The model does not have subgraph of index {subgraph}, "
                f"the subgraph count of the model is {len(self._subgraphs)}"
            )
        return self._subgraphs[subgraph]

    def _run(self, graph: Runnable, instances: Sequence[Any]) -> tuple[tuple[Value, ...], ...]:
        if not instances:
            raise ModelCallError("Input instances count is 0")
        for index, instance in enumerate(instances):
            if not isinstance(instance, list | tuple):
                raise ModelCallError(
                    "inputs format invalid: give call(x1, x2), or call([[x1, x2], [x3, x4]]) for several instances"
                )
            if len(instance) != len(graph.inputs):
                raise ModelCallError(
                    f"The inputs count {len(instance)} of instance {index} is not equal to the inputs count "
                    f"{len(graph.inputs)} of the model"
                )
        columns: list[list[Value | None]] = [
            [from_function(instance[place], True) for instance in instances] for place in range(len(graph.inputs))
        ]
        outcomes = self._models.call(lambda: run_each(graph, columns, range(len(instances))))
        results = []
        for index in range(len(instances)):
            outcome = outcomes[index]
            if isinstance(outcome, Failure):
                raise ModelCallError(outcome.text)
            results.append(tuple(np.array(value) if isinstance(value, np.ndarray) else value for value in outcome))
        return tuple(results)
