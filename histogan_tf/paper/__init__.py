"""The paper's study from end to end (--mode=paper), with the confidence intervals that the paper does not give."""
