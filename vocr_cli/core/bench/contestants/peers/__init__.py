"""Other recognisers, each run as whole processes of its own."""
