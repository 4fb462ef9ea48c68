"""How well lines were read."""
