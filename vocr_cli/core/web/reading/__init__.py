"""`POST /read`: line images in, readings out, those of concurrent requests read together."""
