"""Damaged files by the thousand: `python -m fuzz --help`, run in the folder of the tests."""
