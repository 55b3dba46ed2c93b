"""What a run leaves on disk for other programs: written so that no crash tears it, read without torch."""
