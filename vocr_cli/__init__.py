"""vocr: train, measure and run recognisers of Vietnamese text lines."""

__version__ = "0.1.0"
