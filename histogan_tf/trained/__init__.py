"""Trained networks: loading them, and making images with them."""
