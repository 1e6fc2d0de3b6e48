"""The directories of training runs, with their files and checkpoints."""
