"""What a run tells and keeps of itself."""
