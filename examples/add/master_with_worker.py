"""The lightweight deployment: master and servable in one process. It runs until Ctrl-C."""

import os

from mindspore_serving import master, worker

if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    worker.start_servable_in_master(here, "add", device_id=0)
    master.start_grpc_server("127.0.0.1", 5500)
