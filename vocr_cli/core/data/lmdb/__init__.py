"""LMDB databases of labelled lines."""
