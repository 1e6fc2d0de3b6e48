"""Run directories, their files and their checkpoints."""
