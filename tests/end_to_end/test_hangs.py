"""A device call that never returns: its worker is given up and ends itself, and its work is done elsewhere."""

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mindspore_serving.client import Client
from mindspore_serving.worker.process import HUNG_EXIT_CODE
from tests.end_to_end.light_servable import NAME, light_servable, light_worker
from tests.end_to_end.test_commands import master
from tests.processes import Processes

WHY = r"it hangs: method act has been running for [\d.]+ s"
SOON = ("--hang-seconds", "1", "--lease-seconds", "1")


def test_the_work_of_a_hung_worker_is_done_elsewhere_and_it_ends_itself(run: Processes, tmp_path: Path) -> None:
    desk, port, ctrl = master(run, *SOON)
    place = light_servable(tmp_path)
    workers = [light_worker(run, place, [ctrl]) for _ in range(2)]
    with Client(f"127.0.0.1:{port}", NAME, "act", timeout=60) as client:
        assert client.infer({"order": "hang once", "x": 7}) == [{"y": 7}]
        (hung,) = [worker for worker in workers if "it hangs" in worker.output]
        assert hung.wait() == HUNG_EXIT_CODE
        assert re.fullmatch(f"the master at 127.0.0.1:{ctrl} gave this worker up: {WHY}", hung.last_line), hung.output
        desk.wait_for("lost (it hangs: method act has been running for")
        light_worker(run, place, [ctrl])  # started again, as whoever started it does
        assert client.infer({"order": "answer", "x": 8}) == [{"y": 8}]


def test_a_call_that_hangs_every_worker_gets_an_honest_error(run: Processes, tmp_path: Path) -> None:
    _, port, ctrl = master(run, *SOON)
    place = light_servable(tmp_path)
    workers = [light_worker(run, place, [ctrl]) for _ in range(4)]
    with Client(f"127.0.0.1:{port}", NAME, "act", timeout=120) as client:
        results: Any = client.infer([{"order": "answer", "x": 1}, {"order": "hang", "x": 2}])
        assert results[0] == {"y": 1}
        assert "the worker died 3 times while it ran this instance: it is given up" in results[1]["error"]
        hung = [worker for worker in workers if "it hangs" in worker.output]
        assert [worker.wait() for worker in hung] == [HUNG_EXIT_CODE] * 3
        assert client.infer({"order": "answer", "x": 4}) == [{"y": 4}]


def test_what_hangs_every_worker_of_two_masters_is_given_up_and_what_waited_behind_it_is_answered(
    run: Processes, tmp_path: Path
) -> None:
    """Each worker is the only one: what is lost with it waits at its master for the next."""
    (_, port, ctrl), (_, other_port, other_ctrl) = master(run, "--hang-seconds", "1"), master(run)
    place = light_servable(tmp_path)
    worker = light_worker(run, place, [ctrl, other_ctrl])
    with (
        Client(f"127.0.0.1:{port}", NAME, "act", timeout=60) as client,
        Client(f"127.0.0.1:{other_port}", NAME, "act", timeout=60) as other,
    ):
        hung = client.infer_async({"order": "hang", "x": 1})
        worker.wait_for("it hangs")
        behind = other.infer_async({"order": "answer", "x": 2})
        assert worker.wait() == HUNG_EXIT_CODE
        for _ in range(2):
            assert light_worker(run, place, [ctrl, other_ctrl]).wait() == HUNG_EXIT_CODE
        given_up: Any = hung.result()
        assert "the worker died 3 times while it ran this instance: it is given up" in given_up["error"], given_up
        light_worker(run, place, [ctrl, other_ctrl])
        assert behind.result() == [{"y": 2}]


def test_calls_that_wait_behind_those_of_other_masters_do_not_count_as_hung(run: Processes, tmp_path: Path) -> None:
    """Each takes 2 s and the last one 6, for its master knows of no other: the worker was given up."""
    masters = [master(run, "--hang-seconds", "4") for _ in range(3)]
    worker = light_worker(run, light_servable(tmp_path), [ctrl for _, _, ctrl in masters])
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(f"127.0.0.1:{port}", NAME, "act", timeout=60)) for _, port, _ in masters]
        answers = [client.infer_async({"order": "take long", "x": x}) for x, client in enumerate(clients)]
        assert [answer.result() for answer in answers] == [[{"y": x}] for x in range(3)], worker.output
