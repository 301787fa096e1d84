"""Steps of the third stage: what is made from several exposures."""
