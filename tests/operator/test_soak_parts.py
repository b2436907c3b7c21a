"""The pure parts of the soak: what counts as growth, and what the command refuses."""

import pytest

from mindspore_serving.chaos.growth import Trend, trend
from mindspore_serving.chaos.soak import main


def samples(values: list[float]) -> list[tuple[float, float]]:
    return [(60.0 * minute, value) for minute, value in enumerate(values)]


def test_what_happens_while_it_warms_up_is_no_growth() -> None:
    found = trend("master-0", "memory", samples([10.0, 60.0, 90.0, 95.0, *[100.0] * 12]))
    assert (found.first, found.last, found.slope) == (100.0, 100.0, 0.0)
    assert found.is_flat


def test_a_leak_is_seen_with_its_slope() -> None:
    found = trend("worker-1", "memory", samples([100.0 + 5 * minute for minute in range(16)]))
    assert found.slope == pytest.approx(5.0, rel=0.2)
    assert not found.is_flat
    assert str(found).split()[-2:] == ["MB/min", "GROWS"]


def test_a_leak_is_seen_below_what_comes_and_goes() -> None:
    coming_and_going = [50.0 * (minute % 3) for minute in range(120)]
    leaking = [value + 0.1 * minute for minute, value in enumerate(coming_and_going)]
    assert trend("master-0", "memory", samples(coming_and_going)).is_flat
    assert not trend("master-0", "memory", samples(leaking)).is_flat


def test_a_cache_that_has_filled_up_is_flat_and_has_no_slope() -> None:
    found = trend("worker-0", "memory", samples([100.0 + 4.0 * (1 - 0.95**minute) for minute in range(120)]))
    assert found.is_flat and found.slope < 0.02


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


def test_too_short_a_soak_is_refused_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--seconds", "3"])
    assert end.value.code == 2
    assert (
        capfd.readouterr().err
        == "soak: --seconds should be 12 or more: fewer samples have no trend (see soak --help)\n"
    )
