"""A label and its reading side by side, coloured where they differ."""

from __future__ import annotations

from rich.markup import escape


def mark_differences(label: str, reading: str) -> tuple[str, str]:
    """Return label and reading in rich's markup, coloured where they differ."""
    from vocr_cli.core.evaluation.edit_classes import spans

    marked_label, marked_reading = "", ""
    for span in spans(label, reading):
        if span.same:
            marked_label += escape(span.reference)
            marked_reading += escape(span.reading)
        else:
            marked_label += f"[red]{escape(span.reference.replace(' ', '␣'))}[/]"
            marked_reading += f"[yellow]{escape(span.reading.replace(' ', '␣'))}[/]"
    return marked_label, marked_reading
