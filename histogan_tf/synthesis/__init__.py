"""How good synthetic images are: what is measured, and what follows from it.

report.py measures a set against the real one and writes it down, evaluation.py does so for --mode=evaluate,
best_checkpoint.py while a DCGAN trains, and selection.py decides what may join a training set.
"""
