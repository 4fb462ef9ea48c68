"""Where pages come from: image files, frames of TIFFs, pages of PDFs."""
