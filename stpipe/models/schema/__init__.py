"""What a model may hold: fields, their checks, and the validation of values."""
