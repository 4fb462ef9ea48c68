"""Ways of reading: which there are, how fast each is, and which is taken where nobody says it."""
