"""A loaded servable: takes batches, gives answers. Its Python stages and the process's models run side by side."""

from collections.abc import Callable, Mapping

from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.cluster.messages import BatchDone, MethodSpec, RunBatch
from mindspore_serving.worker.complaints import Complaints
from mindspore_serving.worker.declarations import Method, Model, Stage
from mindspore_serving.worker.model_stage import Runnable
from mindspore_serving.worker.pipeline import Job
from mindspore_serving.worker.work_thread import WorkThread


class Servable:
    """One version of one servable. `methods` is what clients may call, with the batch sizes that suit it here."""

    def __init__(
        self,
        name: str,
        version: int,
        methods: Mapping[str, Method],
        specs: tuple[MethodSpec, ...],
        loaded: Mapping[Model, Runnable],
        models: WorkThread,
    ) -> None:
        self.name = name
        self.version = version
        self.methods = specs
        self._methods = methods
        self._loaded = loaded
        self._models = models
        self._complaints = Complaints()
        self._functions = WorkThread(f"stages of {name}")

    @property
    def models(self) -> tuple[Runnable, ...]:
        """Its models, each by its first subgraph, in the order of their declarations."""
        return tuple(self._loaded.values())

    @property
    def poller(self) -> WorkThread:
        """Which of its threads looks for batches while it has nothing to do: MindSpore's, where there are models.

        That of Python stages would take the core that models compute on. Measured where such a stage comes first: 1.5
        times the requests of a lone caller, 0.85 times those of 64.
        """
        return self._models if self._loaded else self._functions

    def submit(self, batch: RunBatch, done: Callable[[BatchDone], None]) -> None:
        """Runs a batch; `done` gets its answer, once, from another thread. Returns at once."""
        method = self._methods.get(batch.method)
        if method is None or len(batch.columns) != len(method.inputs):
            given = f"{len(batch.columns)} inputs for method {batch.method}"
            failure = Failure(Code.SYSTEM_ERROR, f"servable {self.name} was sent {given}, which it did not register")
            done(BatchDone(batch.batch_id, (), dict.fromkeys(range(batch.count), failure)))
            return
        Job(self.name, method, batch, self._loaded, self._post, done, self._complaints).start()

    def close(self, seconds: float | None = None) -> bool:
        """Ends the servable's own thread. False: a function of it still runs after so many seconds."""
        return self._functions.close(seconds)

    def _post(self, stage: Stage, step: Callable[[], None]) -> None:
        thread = self._models if isinstance(stage.work, Model) else self._functions
        thread.post(stage.index, step)
