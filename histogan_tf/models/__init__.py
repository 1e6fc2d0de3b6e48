"""Networks only, in pure Keras. Knows no optimizer and no data."""
