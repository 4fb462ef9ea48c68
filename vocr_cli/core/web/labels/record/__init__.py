"""What labelling leaves on the disk: journal, annotation file, list of changes, copies of images."""
