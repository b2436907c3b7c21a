"""Generated from proto/ms_service.proto by `make proto`."""
