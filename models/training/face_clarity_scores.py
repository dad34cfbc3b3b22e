"""How well the clarity of a face is told: on undamaged, damaged and masked faces, hands, and what is no face."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.training.face_clarity import PRESENCE
from models.training.face_cover import Cover, photographed_hand
from models.training.face_damage import HIDDEN_FROM, HIDDEN_TO, damaged, hidden, ramp
from models.training.face_data import CROP_INTERPOLATION
from models.training.face_shelf import Shelf, drawn
from service.features.face import align

Tell = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""From grey crops (n, s, s) to the probability of a face and its clarity, (n, 2)."""


def clarity_scores(
    clarity_of: Tell, shelf: Shelf, size: int, interpolation: str = CROP_INTERPOLATION
) -> dict[str, float]:
    """How it does on validation pictures; clean faces are FER+'s and muxspace's, masked ones those of the streets."""
    rng = np.random.default_rng(7)
    clean = [clarity_of(faces.crops(size, interpolation=interpolation)[..., 0]) for faces in shelf.faces]
    real, nothing = (
        clarity_of(
            np.stack([align(each.picture, each.landmarks, size, interpolation=interpolation) for each in marked])
        )
        for marked in (shelf.real, shelf.nothing)
    )
    left = np.array([each.left for each in shelf.real])
    pairs = [damaged(drawn(shelf, size, rng), rng, drawn(shelf, size, rng), shelf.hands) for _ in range(2000)]
    wanted, told = np.array([part for _, part in pairs]), clarity_of(np.stack([crop for crop, _ in pairs]))
    return {
        "clean_ferplus_above_half": float((clean[0][:, 1] > 0.5).mean()),
        "clean_muxspace_above_half": float((clean[1][:, 1] > 0.5).mean()),
        "masked_below_half": float((real[left < 0.2, 1] < 0.5).mean()),
        "unmasked_above_half": float((real[left == 1, 1] > 0.5).mean()),
        "damage_correlation": float(np.corrcoef(wanted, told[:, 1])[0, 1]),
        **hand_scores(clarity_of, shelf, size),
        **{f"faces_below_{at}": float((np.concatenate([*clean, real])[:, 0] < at).mean()) for at in (PRESENCE, 0.5)},
        **{f"no_faces_below_{at}": float((nothing[:, 0] < at).mean()) for at in (PRESENCE, 0.5)},
        "masked": int((left < 0.2).sum()),
        "unmasked": int((left == 1).sum()),
        "no_faces": len(nothing),
    }


def hand_scores(clarity_of: Tell, shelf: Shelf, size: int, count: int = 2000) -> dict[str, float]:
    """How often hands that hide most of a face are noticed, and those that hide next to nothing are let be.

    The hands are those of the shelf.
    """
    rng = np.random.default_rng(11)
    pairs = [
        photographed_hand(drawn(shelf, size, rng), shelf.hands[index % len(shelf.hands)], rng) for index in range(count)
    ]
    left = np.array([1 - ramp(hidden(cover), HIDDEN_FROM, HIDDEN_TO) for _, cover in pairs])
    upper = np.array([lies_above(cover) for _, cover in pairs])
    told = clarity_of(np.stack([crop for crop, _ in pairs]))[:, 1]
    return {
        "hands_above_below_half": float((told[upper & (left < 0.25)] < 0.5).mean()),
        "hands_below_below_half": float((told[~upper & (left < 0.25)] < 0.5).mean()),
        "hands_aside_above_half": float((told[left > 0.95] > 0.5).mean()),
    }


def lies_above(cover: Cover) -> bool:
    """Whether more than half of what a cover (s, s) hides is in the upper half of the crop."""
    upper = (np.arange(len(cover)) < len(cover) / 2)[:, None]
    return hidden(cover * upper) > hidden(cover) / 2
