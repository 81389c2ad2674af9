"""The standard library's own tests, run on holdfast's classes."""
