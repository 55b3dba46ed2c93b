"""Files that say what each pixel of an image is, and how they are checked."""
