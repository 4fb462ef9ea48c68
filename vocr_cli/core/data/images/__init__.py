"""Line images: opened safely, and fitted to a model."""
