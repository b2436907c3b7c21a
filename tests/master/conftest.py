"""What the tests of the master's doors share."""

from collections.abc import Iterator

import pytest

from mindspore_serving.cluster.dispatcher import Limits
from tests.master.running_master import RunningMaster


@pytest.fixture
def master() -> Iterator[RunningMaster]:
    """A master with one fake worker, whose lease does not run out."""
    running = RunningMaster(Limits(lease_seconds=60.0))
    running.worker()
    yield running
    running.close()
