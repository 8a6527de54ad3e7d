"""Measuring visavis with the field's protocols, on photos that went through its own pipeline."""
