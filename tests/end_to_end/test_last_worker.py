"""The only worker dies while it has a call: the next one gets it, or the caller hears at once that none will come."""

from pathlib import Path
from typing import Any

from mindspore_serving.client import Client
from tests.end_to_end.light_servable import GO, NAME, light_servable, light_worker
from tests.end_to_end.test_commands import master
from tests.processes import Processes

WAITS = f"servable {NAME} version 1 has no worker left: what was lost with the last one waits"


def test_a_call_whose_only_worker_is_killed_is_answered_by_the_next_one(run: Processes, tmp_path: Path) -> None:
    desk, port, ctrl = master(run)
    place = light_servable(tmp_path)
    worker = light_worker(run, place, [ctrl])
    with Client(f"127.0.0.1:{port}", NAME, "act", timeout=60, retry=False) as client:
        call = client.infer_async({"order": "wait", "x": 1})
        worker.wait_for("wait 8 bytes")
        worker.kill()
        desk.wait_for(f"{WAITS} 60 s for another")
        (place / GO).touch()
        light_worker(run, place, [ctrl])
        assert call.result() == [{"y": 1}]


def test_what_kills_every_worker_kills_three_although_each_is_the_only_one(run: Processes, tmp_path: Path) -> None:
    _, port, ctrl = master(run)
    place = light_servable(tmp_path)
    with Client(f"127.0.0.1:{port}", NAME, "act", timeout=60) as client:
        workers = [light_worker(run, place, [ctrl])]
        call = client.infer_async([{"order": "answer", "x": 1}, {"order": "die", "x": 2}])
        assert workers[0].wait() == 9
        for _ in range(2):
            assert light_worker(run, place, [ctrl], False).wait() == 9
        light_worker(run, place, [ctrl])
        results: Any = call.result()
    assert results[0] == {"y": 1}
    assert "the worker died 3 times while it ran this instance: it is given up" in results[1]["error"]


def test_a_master_that_is_told_to_end_keeps_no_caller_waiting_for_a_worker(run: Processes, tmp_path: Path) -> None:
    desk, port, ctrl = master(run)
    worker = light_worker(run, light_servable(tmp_path), [ctrl])
    with Client(f"127.0.0.1:{port}", NAME, "act", timeout=60, retry=False) as client:
        call = client.infer_async({"order": "die", "x": 1})
        assert worker.wait() == 9
        desk.wait_for(WAITS)
        assert desk.stop() == 0
        answer: Any = call.result()
    assert answer["error"].endswith("servable is not available"), answer


def test_nobody_waits_where_the_operator_says_so(run: Processes, tmp_path: Path) -> None:
    _, port, ctrl = master(run, "--orphan-seconds", "0")
    light_worker(run, light_servable(tmp_path), [ctrl])
    with Client(f"127.0.0.1:{port}", NAME, "act", timeout=60, retry=False) as client:
        answer: Any = client.infer({"order": "die", "x": 1})
    assert answer["error"].endswith("servable is not available"), answer
