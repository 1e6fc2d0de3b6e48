"""Losses, the one training loop, and one step per model family."""
