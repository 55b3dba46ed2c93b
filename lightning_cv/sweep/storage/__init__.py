"""Where a study lies, and which process owns which of its trials."""
