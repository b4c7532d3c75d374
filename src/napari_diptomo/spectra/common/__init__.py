"""Primitives that the fits of X-rays and of energy losses share, each once."""
