"""Measures how fast the program is beside other programs that do the same work.

It is run as `python -m benchmarks --output=FOLDER`, and the package never imports it.
"""
