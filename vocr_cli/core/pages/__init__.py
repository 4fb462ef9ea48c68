"""Pages: lines found on scans, photographs and PDFs, put in order, read and written out."""
