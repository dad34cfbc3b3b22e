"""Labels, probability distributions, fusion and timelines: pure functions on frozen values."""
