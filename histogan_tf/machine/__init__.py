"""What the program runs on: devices, cores, workers, replicas, randomness and progress."""
