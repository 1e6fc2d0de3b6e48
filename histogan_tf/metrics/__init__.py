"""Pure functions on arrays. Knows no network: feature extractors are passed in as callables."""
