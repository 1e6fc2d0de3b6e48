"""What makes the networks' layers fast on a CPU."""
