"""All the English of a plan.

Reasons beside the values: `base.py` those without a number in them, `lines.py` those about model and data,
`steps.py` those about batch, rate, workers and length. `notes.py`: what is told besides.
"""
