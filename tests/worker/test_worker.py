"""What a worker does around its servable."""

from collections.abc import Callable

from mindspore_serving.cluster.messages import BatchDone, RunBatch
from mindspore_serving.worker.worker import told_before


def test_the_first_answer_is_told_before_it_goes_out_and_no_other_one_is() -> None:
    """Told after it, whoever got it and killed this worker then found that it was not started again."""
    told: list[str] = []

    def submit(batch: RunBatch, done: Callable[[BatchDone], None]) -> None:
        done(BatchDone(batch.batch_id, ()))

    telling = told_before(submit, lambda: told.append("it has answered"))
    for number in (1, 2):
        telling(RunBatch(number, "echo", 0, ()), lambda done: told.append(f"answer {done.batch_id}"))
    assert told == ["it has answered", "answer 1", "answer 2"]
