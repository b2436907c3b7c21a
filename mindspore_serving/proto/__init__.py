"""Generated from proto/*.proto by `make proto`; but see private_pool.py."""
