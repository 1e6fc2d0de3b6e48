"""How good synthetic images are: what is measured, and what follows from it.

measure.py measures a set against the real one, and measure_report.py writes the result down, with realism.py for single
images. class_truth.py measures whether images belong to their label. evaluation.py and class_truth_evaluation.py do
both for --mode=evaluate, and selection.py decides what may join a training set. quiz.py and quiz_html.py write a page
on which people tell real patches from synthetic ones, and quiz_readers.py measures these people.
"""
