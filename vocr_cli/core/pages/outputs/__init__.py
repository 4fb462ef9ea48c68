"""The formats that read pages are written in."""
