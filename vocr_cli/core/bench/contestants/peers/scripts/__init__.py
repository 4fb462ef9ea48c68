"""What a peer's own interpreter runs: each script knows the peer and the standard library, not vocr."""
