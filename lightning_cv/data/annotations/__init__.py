"""Files that say which objects are on which image: read, checked, and told where they are wrong."""
