"""Where, and with which key, a servable's models are loaded."""

from dataclasses import dataclass, field

from mindspore_serving.cluster.arguments import check_str
from mindspore_serving.cluster.errors import SetupError

_DEVICE_TYPES = {"ascend": "Ascend", "davinci": "Ascend", "gpu": "GPU", "cpu": "CPU", "none": "CPU"}
DEC_MODES = ("AES-GCM", "AES-CBC")


@dataclass(frozen=True, kw_only=True)
class Target:
    """A device, and the key of encrypted MindIR files (16, 24 or 32 bytes), which no text form of this shows."""

    device_type: str = "CPU"
    device_id: int = 0
    dec_key: bytes | None = field(default=None, repr=False)
    dec_mode: str = DEC_MODES[0]

    def __str__(self) -> str:
        return f"{self.device_type}:{self.device_id}"


def read_device_type(device_type: object) -> str:
    """The device type that a start call names; None is CPU, the one that is everywhere. Raises SetupError."""
    if device_type is None:
        return "CPU"
    check_str("device_type", device_type)
    assert isinstance(device_type, str)
    if device_type.lower() not in _DEVICE_TYPES:
        raise SetupError(
            f"Unsupported device type '{device_type}', only support 'Ascend', 'GPU', 'CPU' and None, case ignored"
        )
    return _DEVICE_TYPES[device_type.lower()]


def check_decryption(dec_key: object, dec_mode: object) -> None:
    """Raises SetupError unless these are a key (or None) and a mode that MindSpore's encryption knows."""
    if dec_key is not None:
        if not isinstance(dec_key, bytes):
            raise SetupError(f"Parameter 'dec_key' should be bytes, but actually {type(dec_key)}")
        if len(dec_key) not in (16, 24, 32):
            raise SetupError(
                f"Parameter 'dec_key' should be bytes of length 16, 24 or 32, but its length is {len(dec_key)}"
            )
    if not isinstance(dec_mode, str):
        raise SetupError(f"Parameter 'dec_mode' should be str, but actually {type(dec_mode)}")
    if dec_mode not in DEC_MODES:
        raise SetupError(f"Parameter 'dec_mode' can only be {' or '.join(DEC_MODES)}, but actually '{dec_mode}'")
