import os

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")  # the provider's server has a line for each process begun
