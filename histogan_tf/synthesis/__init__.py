"""How good synthetic images are: what is measured, and what follows from it.

measure.py measures a set against the real one and writes it down, with realism.py for single images; evaluation.py does
so for --mode=evaluate, and selection.py decides what may join a training set. quiz.py and quiz_html.py write a page on
which people tell real patches from synthetic ones, and quiz_readers.py measures these people.
"""
