"""Loading of trained networks, and making images with them."""
