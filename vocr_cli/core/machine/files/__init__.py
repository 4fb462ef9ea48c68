"""Files that are read and written under names that users give."""
