"""What visavis is measured with: one script for each claim."""
