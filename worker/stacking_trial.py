"""A process that tries to run several instances of a model in one call: started by stacking.py, for nobody else.

It is told like a trial of tuning, with a file for its place, and says yes or no.
"""

import os

from mindspore_serving.worker import mindspore_model
from mindspore_serving.worker.declarations import Model
from mindspore_serving.worker.stacked_model import StackedModel
from mindspore_serving.worker.tuning_trial import trial_task


def main() -> None:
    """Runs once."""
    task = trial_task()
    model = Model(task.place.name, with_batch_dim=False)
    (loaded,) = mindspore_model.load(model, task.place.parent, task.target, lambda _: True, rewriting=task.ways[-1])
    print("yes" if isinstance(loaded, StackedModel) else "no", file=task.answers, flush=True)
    os._exit(0)  # MindSpore's own end has nothing to tell


if __name__ == "__main__":
    main()
