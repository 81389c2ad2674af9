"""Shared memory, sessions and the compiled core; knows nothing of Python objects beyond integers and buffers."""
