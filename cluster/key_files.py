"""The files of CURVE keys, as master, worker and keygen agree on them: names, contents, who may read them. Pure.

The form is that of ZeroMQ's own tools (zmq.auth of pyzmq, zcert of czmq): a section `curve` with the keys in Z85.
"""

import base64
import re
import stat
from dataclasses import dataclass, field

from mindspore_serving.cluster.errors import SetupError

MASTER_SECRET = "master.key_secret"
MASTER_PUBLIC = "master.key"
WORKERS = "workers"  # the folder of those public keys that the master admits: NAME.key
FOR_WORKERS = "for-workers"  # the folders that are to be moved to the workers' machines
WORKER_SECRET = "worker.key_secret"
WORKER_PUBLIC = "worker.key"
PUBLIC_SUFFIX = ".key"
MOST_BYTES = 4096  # of a key's file

_Z85 = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"  # ZeroMQ's RFC 32
_B85 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"  # of base64.b85decode
_TO_B85 = bytes.maketrans(_Z85, _B85)
_KEY_CHARACTERS = 40
_LINE = re.compile(r'^\s*(public|secret)-key\s*=\s*["\']?([^"\'\s]*)["\']?\s*$', re.MULTILINE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


@dataclass(frozen=True)
class KeyPair:
    """A CURVE key in Z85, 40 characters; the secret half is never shown."""

    public: bytes
    secret: bytes | None = field(default=None, repr=False)


def key_file(comment: str, pair: KeyPair) -> str:
    """The contents of a key's file."""
    lines = [f"# {comment}", "curve", f'    public-key = "{pair.public.decode()}"']
    if pair.secret is not None:
        lines.append(f'    secret-key = "{pair.secret.decode()}"')
    return "\n".join([*lines, ""])


def parse_key_file(content: bytes, path: object, *, with_secret: bool) -> KeyPair:
    """The keys that a file holds. Raises SetupError, which names the file and shows nothing of it."""
    found = {kind: _key(text) for kind, text in _LINE.findall(content.decode("ascii", "replace"))}
    public, secret = found.get("public"), found.get("secret")
    if public is None or (with_secret and secret is None) or len(content) > MOST_BYTES:
        kind = "secret" if with_secret else "public"
        raise SetupError(f"'{path}' holds no {kind} CURVE key: copy it again from where keygen wrote it")
    return KeyPair(public, secret if with_secret else None)


def check_worker_name(name: str) -> str:
    """The name, which becomes a file's. Raises SetupError for one that cannot."""
    if _NAME.fullmatch(name) is None:
        raise SetupError(
            f"--worker '{name}' should be at most 64 letters, digits, '.', '_', '-', the first a letter or digit"
        )
    return name


def check_secret_mode(mode: int, path: object) -> bool:
    """Whether a secret file's mode is as it should be; False when its group may read it too.

    Raises SetupError when everybody may read it, or others may write it. `mode` is that of stat(2).
    """
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise SetupError(f"'{path}' holds a secret and is open to others (mode {mode & 0o777:04o}): chmod 600 '{path}'")
    return not mode & stat.S_IRGRP


def _key(text: str) -> bytes | None:
    raw = text.encode("ascii", "replace")
    if len(raw) != _KEY_CHARACTERS or raw.strip(_Z85):
        return None
    try:
        base64.b85decode(raw.translate(_TO_B85))
    except ValueError:
        return None
    return raw
