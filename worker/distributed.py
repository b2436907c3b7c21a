"""1.2's distributed servables, one model over several Ascend devices, are not supported: importing this says so."""

raise ImportError(
    "distributed servables are not supported, see docs/compatibility.md: serve a model that fits one device"
)
