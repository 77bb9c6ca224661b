import numpy as np
import pytest

from stit_vfx.errors import FacePickError, NoFaceError
from stit_vfx.face.track import FacePick, pick_face, track_faces, tracks_from_arrays, tracks_to_arrays


def _tracked(finder, frames, first=1001):
    return track_faces(enumerate(frames, start=first), finder)


def _centres(track):
    box = track.box
    return (box[:, :2] + box[:, 2:]) / 2


def test_face_is_followed_and_two_are_kept_apart(painted_finder, paint):
    frames = [paint({1: (60 + 3 * n, 80), 2: (250 - 2 * n, 90)}) for n in range(20)]
    tracks = _tracked(painted_finder, frames)
    assert [track.id for track in tracks] == [1, 2]
    assert all(track.found.all() and len(track.frames) == 20 for track in tracks)
    left = min(tracks, key=lambda track: track.box[0, 0])
    np.testing.assert_allclose(_centres(left)[:, 0], 59.5 + 3 * np.arange(20), atol=0.01)


def test_crossing_faces_keep_who_they_are(painted_finder, paint):
    frames = [paint({1: (60 + 8 * n, 60), 2: (220 - 8 * n, 110)}) for n in range(20)]
    tracks = _tracked(painted_finder, frames)
    assert len(tracks) == 2
    for track in tracks:
        steps = np.diff(_centres(track)[:, 0])
        assert (np.abs(np.abs(steps) - 8) < 0.01).all()
        assert len(set(np.sign(steps))) == 1
        assert set(track.segment) == {0}


def test_gap_of_twelve_frames_is_filled_on_the_way(painted_finder, paint):
    frames = [paint({} if 8 <= n < 20 else {1: (60 + 2 * n, 80)}) for n in range(30)]
    (track,) = _tracked(painted_finder, frames)
    assert list(track.frames) == list(range(1001, 1031))
    assert list(np.flatnonzero(~track.found)) == list(range(8, 20))
    np.testing.assert_allclose(_centres(track)[:, 0], 59.5 + 2 * np.arange(30), atol=0.01)
    assert set(track.segment) == {0}


def test_longer_absence_is_not_filled_and_the_person_is_recognised(painted_finder, paint):
    frames = [paint({} if 8 <= n < 21 else {1: (60 + 2 * n, 80)}) for n in range(30)]
    (track,) = _tracked(painted_finder, frames)
    assert list(track.frames) == [*range(1001, 1009), *range(1022, 1031)]
    assert track.found.all()
    assert list(track.segment) == [0] * 8 + [1] * 9


def test_cut_starts_a_segment_and_keeps_the_id(painted_finder, paint):
    frames = [paint({1: (60, 80)})] * 6 + [paint({1: (220, 80)}, ground=150)] * 6
    (track,) = _tracked(painted_finder, frames)
    assert list(track.segment) == [0] * 6 + [1] * 6


def test_gap_over_a_cut_is_not_filled(painted_finder, paint):
    frames = [
        *[paint({1: (60, 80)})] * 6,
        *[paint({})] * 3,
        *[paint({}, ground=150)] * 3,
        *[paint({1: (66, 80)}, ground=150)] * 6,
    ]
    (track,) = _tracked(painted_finder, frames)
    assert list(track.frames) == [*range(1001, 1007), *range(1013, 1019)]
    assert list(track.segment) == [0] * 6 + [1] * 6


def test_reverse_shot_with_another_face_in_the_same_place_is_another_person(painted_finder, paint):
    frames = [paint({1: (100, 80)})] * 6 + [paint({2: (102, 80)}, ground=150)] * 6
    one, other = _tracked(painted_finder, frames)
    assert list(one.frames) == list(range(1001, 1007))
    assert list(other.frames) == list(range(1007, 1013))


def test_flash_of_light_on_a_steady_face_is_no_cut(painted_finder, paint):
    frames = [paint({1: (100 + n, 80)}, ground=220 if n == 5 else 60) for n in range(12)]
    (track,) = _tracked(painted_finder, frames)
    assert set(track.segment) == {0}
    assert track.found.all()


def test_white_frames_interrupt_and_do_not_cut(painted_finder, paint):
    frames = [paint({} if n in (5, 6) else {1: (100 + n, 80)}, ground=60) for n in range(12)]
    frames[5] = frames[6] = np.full_like(frames[0], 255)
    (track,) = _tracked(painted_finder, frames)
    assert set(track.segment) == {0}
    assert list(np.flatnonzero(~track.found)) == [5, 6]


def test_face_that_enters_late_and_leaves_early_has_only_its_frames(painted_finder, paint):
    frames = [paint({1: (60, 80), **({2: (200, 80)} if 4 <= n < 15 else {})}) for n in range(20)]
    one, other = _tracked(painted_finder, frames)
    assert (one.frames[0], one.frames[-1]) == (1001, 1020)
    assert (other.frames[0], other.frames[-1]) == (1005, 1015)


def test_ids_go_by_first_frame_then_size(painted_finder, paint):
    frames = [paint({2: (60, 80)}, side=40) for _ in range(5)]
    for n, frame in enumerate(frames):
        frame[20:80, 150:210] = (200, 1, 0)
        if n >= 2:
            frame[20:120, 215:315] = (200, 3, 0)
    tracks = _tracked(painted_finder, frames)
    assert [round(track.side) for track in tracks] == [60, 40, 100]
    assert [track.id for track in tracks] == [1, 2, 3]


def test_face_seen_twice_in_a_long_shot_is_a_mistake(painted_finder, paint):
    frames = [paint({2: (60, 80)} if n in (3, 4) else {}) for n in range(10)]
    assert _tracked(painted_finder, frames) == ()


def test_single_frame_is_a_shot(painted_finder, paint):
    (track,) = _tracked(painted_finder, [paint({1: (60, 80)})])
    assert list(track.frames) == [1001]


def test_no_frame_holds_two_pictures_at_once(painted_finder, paint):
    """The pictures are a stream: each may be forgotten as soon as the next is asked for."""
    import weakref

    alive = []

    def stream():
        for n in range(30):
            image8 = paint({1: (60 + n, 80)})
            alive.append(weakref.ref(image8))
            yield 1001 + n, image8
            del image8
            assert sum(ref() is not None for ref in alive) <= 1

    told = []
    track_faces(stream(), painted_finder, progress=told.append)
    assert told == list(range(1001, 1031))


def test_tracks_survive_as_arrays(painted_finder, paint):
    frames = [paint({1: (60 + 3 * n, 80), 2: (250 - 2 * n, 90)}) for n in range(6)]
    tracks = _tracked(painted_finder, frames)
    again = tracks_from_arrays(tracks_to_arrays(tracks))
    for one, other in zip(tracks, again, strict=True):
        assert one.id == other.id
        for name in ("frames", "landmarks", "found", "segment"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
            assert getattr(one, name).dtype == getattr(other, name).dtype
    assert tracks_from_arrays(tracks_to_arrays(())) == ()


@pytest.fixture
def couple(painted_finder, paint):
    """Face 1 small and left from the first frame, face 2 large and right from the third."""
    frames = []
    for n in range(8):
        frame = paint({1: (60, 80)})
        if n >= 2:
            frame[30:110, 180:260] = (200, 2, 0)
        frames.append(frame)
    return _tracked(painted_finder, frames)


def test_largest_is_picked_with_a_warning(couple):
    heard = []
    assert pick_face(couple, FacePick(), warn=lambda code, text: heard.append((code, text))).id == 2
    assert heard == [("STIT-W304", "2 faces; the largest, face 2, was taken")]


@pytest.mark.parametrize(
    ("pick", "expected"),
    [
        (FacePick(id=1), 1),
        (FacePick(point=(65, 75)), 1),
        (FacePick(point=(200, 60), frame=1005), 2),
        (FacePick(box=(30, 50, 90, 110)), 1),
        (FacePick(box=(80, 0, 320, 180), frame=1003), 2),
    ],
)
def test_face_is_picked_by_id_point_or_box(couple, pick, expected):
    assert pick_face(couple, pick).id == expected


@pytest.mark.parametrize(
    "pick",
    [
        FacePick(id=7),
        FacePick(point=(220, 70)),
        FacePick(point=(65, 75), frame=2000),
        FacePick(box=(0, 0, 10, 10)),
    ],
)
def test_pick_of_nobody_lists_the_faces(couple, pick):
    with pytest.raises(FacePickError, match=r"face 1 \(frames 1001 to 1008.*face 2 \(frames 1003 to 1008"):
        pick_face(couple, pick)


def test_no_tracks_is_no_face():
    with pytest.raises(NoFaceError, match="no face"):
        pick_face((), FacePick())


def test_real_face_through_gap_and_cut(dlib_finder, astronaut):
    """The same head twice, one mirrored; covered for three frames; then a cut to another place and ground."""
    face = astronaut[60:200, 160:300]

    def frame(places, ground):
        image8 = np.full((180, 400, 3), ground, np.uint8)
        for x, y, mirrored in places:
            image8[y : y + 140, x : x + 140] = face[:, ::-1] if mirrored else face
        return image8

    frames = []
    for n in range(9):
        frames.append(frame([*([] if 3 <= n < 6 else [(10 + n, 20, False)]), (240 - n, 25, True)], 90))
    frames += [frame([(130 + n, 30, False)], 200) for n in range(4)]
    tracks = _tracked(dlib_finder, frames)
    by_start = {round(track.box[0, 0] / 100): track for track in tracks}
    left = by_start[0]
    assert list(left.frames[:9]) == list(range(1001, 1010))
    assert list(np.flatnonzero(~left.found)) == [3, 4, 5]
    steps = np.diff(left.landmarks[:9, :, 0].mean(axis=1))
    np.testing.assert_allclose(steps, 1, atol=0.35)
    assert len(tracks) == 2
    assert any(set(track.segment) == {0, 1} for track in tracks)
