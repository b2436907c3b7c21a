"""Sends the held-out digits to `lenet`: client.py [HOST:PORT], by default 127.0.0.1:5500. Exit code 1: under 90 %."""

import sys

from digits import digits

from mindspore_serving.client import Client

SHOWN = 10
GOOD_ENOUGH = 0.9


def main(address: str) -> int:
    _, held_out = digits()
    with Client(address, "lenet", "predict") as client:
        results = client.infer([{"image": png} for png, _ in held_out])
    if not isinstance(results, list):
        print(results["error"], file=sys.stderr)
        return 1
    labels = [label for _, label in held_out]
    for result, label in list(zip(results, labels, strict=True))[:SHOWN]:
        said = result.get("error") or f"{result['digit']} (probability {result['probability']:.2f})"
        print(f"predicted {said}, true {label}")
    right = sum(
        "error" not in result and result["digit"] == label for result, label in zip(results, labels, strict=True)
    )
    accuracy = right / len(labels)
    print(f"accuracy {accuracy:.3f} on {len(labels)} held-out images")
    return 0 if accuracy >= GOOD_ENOUGH else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:5500"))
