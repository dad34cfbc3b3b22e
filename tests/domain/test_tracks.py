"""Faces are followed by where they are."""

from __future__ import annotations

from service.domain.tracks import match


def test_two_faces_that_move_a_little_keep_their_tracks_in_any_order() -> None:
    tracks = {1: (0.0, 0.0, 100.0, 100.0), 2: (300.0, 0.0, 100.0, 100.0)}
    assert match(tracks, [(310.0, 5.0, 100.0, 100.0), (20.0, 0.0, 100.0, 100.0)]) == [2, 1]


def test_a_face_elsewhere_or_of_another_size_is_new() -> None:
    tracks = {1: (0.0, 0.0, 100.0, 100.0)}
    assert match(tracks, [(500.0, 0.0, 100.0, 100.0)]) == [None]
    assert match(tracks, [(40.0, 40.0, 20.0, 20.0)]) == [None]


def test_a_track_goes_on_in_one_face_only_the_nearest() -> None:
    tracks = {1: (0.0, 0.0, 100.0, 100.0)}
    assert match(tracks, [(30.0, 0.0, 100.0, 100.0), (10.0, 0.0, 100.0, 100.0)]) == [None, 1]
