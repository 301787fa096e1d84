"""Steps of the detector stage: from samples to count rates."""
