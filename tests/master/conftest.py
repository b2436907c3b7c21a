"""What the tests of the master's doors share."""

from collections.abc import Iterator

import pytest

from mindspore_serving.cluster.dispatch_events import Limits
from mindspore_serving.master.config import GRPC_ENGINES
from tests.master.posix_memory import NBYTES, PosixMemory
from tests.master.rest_client import RestClient, echoing
from tests.master.running_master import RunningMaster
from tests.master.v2_client import V2Client


@pytest.fixture(params=GRPC_ENGINES)
def master(request: pytest.FixtureRequest) -> Iterator[RunningMaster]:
    """A master with one fake worker, whose lease does not run out; once with each gRPC engine."""
    running = RunningMaster(Limits(lease_seconds=60.0), request.param)
    running.worker()
    yield running
    running.close()


@pytest.fixture
def echoing_master() -> Iterator[RunningMaster]:
    """Its one worker answers every batch with its first input."""
    running = RunningMaster(Limits(lease_seconds=600.0))
    with echoing(running):
        yield running
    running.close()


@pytest.fixture(scope="module", params=[False, True], ids=["in two pieces", "at once"])
def rest(request: pytest.FixtureRequest) -> Iterator[RestClient]:
    """A client of a master whose one worker answers every batch with its first input."""
    master = RunningMaster(Limits(lease_seconds=600.0))
    with echoing(master):
        client = RestClient(master.open_rest(), request.param)
        yield client
        client.connection.close()
    master.close()


@pytest.fixture(scope="module")
def v2() -> Iterator[V2Client]:
    """A client of a master whose one worker answers every batch with its first input."""
    master = RunningMaster(Limits(lease_seconds=600.0))
    with echoing(master):
        yield V2Client(master)
    master.close()


@pytest.fixture
def shm() -> Iterator[PosixMemory]:
    """A client's memory."""
    with PosixMemory(NBYTES) as made:
        yield made
