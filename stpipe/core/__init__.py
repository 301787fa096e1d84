"""What a step is and how it runs."""
