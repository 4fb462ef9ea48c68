"""Pages whose lines a layout file describes: PAGE XML, ALTO and hOCR."""
