"""The worker tests' exported models."""

from tests.worker.conftest import models

__all__ = ["models"]
