"""Copied as sitecustomize.py before the original's programs: names that they use and that libraries have since dropped.

numpy.bool (gone since numpy 1.24), PIL.Image.ANTIALIAS (since Pillow 10), and the modules c_transforms of
mindspore.dataset (since MindSpore 2.3). Nothing of ours is touched.
"""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

RENAMED = {
    "mindspore.dataset.transforms.c_transforms": "mindspore.dataset.transforms",
    "mindspore.dataset.vision.c_transforms": "mindspore.dataset.vision",
}


class OldNames(MetaPathFinder, Loader):
    """Imports a module by the name that it used to have."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return importlib.util.spec_from_loader(fullname, self) if fullname in RENAMED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        old = ModuleType(spec.name)
        old.__dict__.update(vars(importlib.import_module(RENAMED[spec.name])))
        return old

    def exec_module(self, module: ModuleType) -> None:
        pass


def main() -> None:
    import numpy as np

    if "bool" not in vars(np):
        np.bool = bool  # type: ignore[attr-defined]
    if importlib.util.find_spec("PIL") is not None:
        from PIL import Image

        if not hasattr(Image, "ANTIALIAS"):
            Image.ANTIALIAS = Image.Resampling.LANCZOS  # type: ignore[attr-defined]
    sys.meta_path.append(OldNames())


if __name__ == "sitecustomize":
    main()
