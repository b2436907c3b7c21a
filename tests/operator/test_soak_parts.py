"""The pure parts of the soak: what counts as growth, and what the command refuses."""

import pytest

from mindspore_serving.chaos.growth import Trend, trend
from mindspore_serving.chaos.soak import main


def samples(values: list[float]) -> list[tuple[float, float]]:
    return [(60.0 * minute, value) for minute, value in enumerate(values)]


def test_what_happens_while_it_warms_up_is_no_growth() -> None:
    found = trend("master-0", "rss", samples([10.0, 60.0, 90.0, 100.0, *[100.0] * 12]))
    assert (found.first, found.last, found.slope) == (100.0, 100.0, 0.0)
    assert found.is_flat


def test_a_leak_is_seen_with_its_slope() -> None:
    found = trend("worker-1", "rss", samples([100.0 + 5 * minute for minute in range(16)]))
    assert found.slope == pytest.approx(5.0)
    assert not found.is_flat
    assert str(found).split()[-2:] == ["MB/min", "GROWS"]


@pytest.mark.parametrize(
    "quantity, last, flat",
    [
        ("fds", 23.0, True),
        ("fds", 24.0, False),
        ("threads", 22.0, True),
        ("threads", 23.0, False),
        ("shm", 21.0, False),
    ],
)
def test_a_few_descriptors_and_threads_more_are_no_leak_but_files_in_memory_are(
    quantity: str, last: float, flat: bool
) -> None:
    assert Trend("master-0", quantity, 20.0, last, 0.0).is_flat is flat


def test_large_processes_may_vary_by_a_tenth() -> None:
    assert Trend("worker-0", "rss", 1000.0, 1099.0, 1.0).is_flat
    assert not Trend("worker-0", "rss", 1000.0, 1101.0, 1.0).is_flat


def test_too_short_a_soak_is_refused_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--seconds", "3"])
    assert end.value.code == 2
    assert (
        capfd.readouterr().err
        == "soak: --seconds should be 12 or more: fewer samples have no trend (see soak --help)\n"
    )
