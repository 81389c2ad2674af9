"""Locks, semaphores, events, conditions and barriers: one class each, for threads and for processes."""
