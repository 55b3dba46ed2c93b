"""`--batch auto`: how many samples fit in memory at once, tried in processes of their own."""
