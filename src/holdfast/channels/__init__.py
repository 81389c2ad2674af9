"""Channels: queues and pipes between threads and processes."""
