"""What the performance claims are measured with; printed tables, no assertions."""
