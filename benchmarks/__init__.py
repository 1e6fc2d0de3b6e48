"""How fast the program is beside others that do the same work: `python -m benchmarks --output=FOLDER`.

Never imported by the package.
"""
