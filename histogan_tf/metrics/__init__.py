"""Metrics of images and of classifiers, as pure functions on arrays; feature extractors are passed in as functions."""
