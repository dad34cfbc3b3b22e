"""Values as HTML text. Whatever comes from people or from the service goes through `text`."""

from __future__ import annotations

import html

_TEMPLATE_SIGNS = str.maketrans({"{": "&#123;", "}": "&#125;", "$": "&#36;", "`": "&#96;"})
"""Gradio's HTML component knows templates (`${…}`, `{{…}}`): a user's braces must stay braces."""


def text(value: object) -> str:
    """Escaped for element content and for quoted attributes."""
    return html.escape(str(value), quote=True).translate(_TEMPLATE_SIGNS)


def percent(share: float) -> str:
    """A share in [0, 1] as `81 %`; what is neither nothing nor everything never reads as 0 or 100."""
    rounded = round(share * 100)
    if rounded == 0 and share > 0:
        return "<1 %"
    if rounded == 100 and share < 1:
        return "99 %"
    return f"{rounded} %"


def signed(valence: float) -> str:
    """A valence in [-1, 1] as `+0.62`, with a real minus sign."""
    if abs(valence) < 0.005:
        return "0.00"
    return f"{valence:+.2f}".replace("-", "\u2212")


def clock(seconds: float) -> str:
    """`7.5 s` below a minute, `1:05` above."""
    if seconds < 60:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def style(**properties: float | str) -> str:
    """A `style` attribute of custom properties: `style(share=0.5)` gives `style="--share:0.5"`."""
    pairs = (
        f"--{name}:{value:.4g}" if isinstance(value, float) else f"--{name}:{value}"
        for name, value in properties.items()
    )
    return f'style="{";".join(pairs)}"'


def list_of(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
