"""A master as a script: clients at port 5500, workers at port 6500. It runs until Ctrl-C."""

from mindspore_serving import master

if __name__ == "__main__":
    master.start_grpc_server("127.0.0.1", 5500)
    master.start_master_server("127.0.0.1", 6500)
