"""What both commands share: arguments, completion, errors, text."""
