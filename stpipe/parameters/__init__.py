"""Parameters: where they come from, which one wins, and writing them down."""
