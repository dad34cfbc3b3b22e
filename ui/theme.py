"""The look: Gradio's base theme in quiet colours and the machine's own fonts. The rest is in `page.css`."""

from __future__ import annotations

from gradio.themes import Base, sizes
from gradio.themes.utils.colors import Color

_LAGOON = Color(
    "#eef8f7",
    "#d6eeeb",
    "#aedcd7",
    "#7fc4bd",
    "#47a49d",
    "#1f837d",
    "#156b67",
    "#125552",
    "#103f3e",
    "#0c2d2d",
    "#071d1d",
)
_PAPER = Color(
    "#f8f7f4",
    "#f0eeea",
    "#e4e1db",
    "#cfcbc3",
    "#a39f98",
    "#757270",
    "#5a5957",
    "#3e4044",
    "#262a30",
    "#1a1e24",
    "#12151a",
)


def theme() -> Base:
    """The same shapes in light and dark."""
    return Base(
        primary_hue=_LAGOON,
        secondary_hue=_LAGOON,
        neutral_hue=_PAPER,
        radius_size=sizes.radius_lg,
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "monospace"],
    ).set(
        body_background_fill="#f8f7f4",
        body_background_fill_dark="#12151a",
        block_background_fill="#ffffff",
        block_background_fill_dark="#1a1e24",
        block_border_color="#e4e1db",
        block_border_color_dark="#2c323a",
        block_shadow="none",
        input_border_width="1px",
        input_border_color="#8b8780",  # 3:1 on white and on paper (WCAG 2.2, 1.4.11)
        input_border_color_dark="#6d7681",
        input_placeholder_color="#6b6965",  # 4.5:1 (1.4.3)
        input_placeholder_color_dark="#98a2ad",
        input_background_fill="#ffffff",
        input_background_fill_dark="#12151a",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_500",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#ffffff",
    )
