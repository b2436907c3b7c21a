"""The original with one Lite worker: serve.py SERVABLES_DIR SERVABLE PORT REST_PORT, run with setup.sh's Python."""

import sys

from mindspore_serving import server


def main(directory: str, servable: str, port: str, rest_port: str) -> None:
    config = server.ServableStartConfig(servable_directory=directory, servable_name=servable, device_ids=(0,))
    server.start_servables(config, enable_lite=True)
    server.start_restful_server(address="127.0.0.1:" + rest_port, max_msg_mb_size=512)
    server.start_grpc_server(address="127.0.0.1:" + port, max_msg_mb_size=512)


if __name__ == "__main__":
    main(*sys.argv[1:])
