"""Readers of datasets: one module for each layout."""
