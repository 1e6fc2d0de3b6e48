"""The transferred classifier: how it is trained, measured, compared and used.

A frozen backbone's features of the images (classifier_data.py) are computed once (features.py), a linear head is fitted
to them (head.py), and the backbone may be fine-tuned after that (fine_tuning.py). transfer.py runs these in a run
directory; results.py measures what they predict, comparison.py sets runs side by side, prediction.py takes any folder
of images, plots.py draws.
"""
