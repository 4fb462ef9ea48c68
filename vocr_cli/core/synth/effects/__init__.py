"""What print, scanners, phones and posters make of a line."""
