"""Why a plan's values are what they are, and what is worth knowing besides: all of its English."""
