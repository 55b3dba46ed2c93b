"""What is told of a study: tables, pictures, the next sweep, and the winner."""
