"""A worker as a script: the servable `add` on device 0, for the master of master.py. It runs until Ctrl-C."""

import os

from mindspore_serving import worker

if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    worker.start_servable(here, "add", device_id=0, master_ip="127.0.0.1", master_port=6500)
