"""A file of a servable that this process may not read, which is most often one of another user's: in one line."""

import errno
import os

from mindspore_serving.cluster.errors import ServableError


def unreadable(error: OSError, what: str) -> ServableError:
    """What to tell who has to mend it. MindSpore exports models with mode 0400: only who exported one can read it."""
    name = os.fspath(error.filename) if isinstance(error.filename, str | os.PathLike) else ""
    file = f"{what} '{name}'" if name else what
    hint = ""
    if error.errno in (errno.EACCES, errno.EPERM):
        hint = (
            f": this process runs as user {os.geteuid()}, so give it to that user (chown), or let everybody read it "
            "(chmod a+r, and a+rx for each folder on the way)"
        )
    return ServableError(f"{file} cannot be read: {error.strerror or error}{hint}")
