"""Shared data: values, arrays, buffers that several processes see, and data that only one thread sees."""
