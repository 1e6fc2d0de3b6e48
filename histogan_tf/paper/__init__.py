"""The paper's study from end to end, with the uncertainty that it left out: --mode=paper."""
