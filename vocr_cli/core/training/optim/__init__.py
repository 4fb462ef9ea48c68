"""Optimizers, schedules, clipping, averages of weights, and the stages of a model."""
