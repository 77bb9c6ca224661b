from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stit_vfx.job import Job
from stit_vfx.packs.model import Code
from stit_vfx.steps.losses import masked_distance
from stit_vfx.steps.stitch import Stitcher, StitchFrame, StitchSettings, meet, trained_for


def _case(meta, name):
    case = meta["stitch"][name]
    return StitchSettings.paper(
        steps=case["num_steps"],
        l1=not case.get("loss_l2", True),
        content=case.get("content_loss_lambda", 0.01),
        threshold=case.get("border_loss_threshold", 0.0),
    )


def _meet(model, vectors, settings, *, style=None):
    parameters = list(model.network.named_parameters())
    rows = vectors("stitch", "w_edit").float()

    def render():
        return model.synthesize(rows, None, style=style)

    losses = meet(
        render,
        trained_for(parameters, style=style is not None),
        surroundings=vectors("stitch", "crop"),
        edit=vectors("stitch", "edited"),
        border=vectors("stitch", "border_mask"),
        content=vectors("stitch", "content_mask"),
        settings=settings,
    )
    with torch.no_grad():
        return render(), losses


@pytest.mark.parametrize(
    ("name", "atol"),
    [("n1", 1e-3), ("n10", 1e-3), ("n10_l1", 5e-3), ("n50_thr", 1e-3), ("n5_content1", 1e-3)],
)
def test_published_loop_agrees_with_reference(model, vectors, meta, name, atol):
    image, losses = _meet(model, vectors, _case(meta, name))
    torch.testing.assert_close(image, vectors("stitch", f"{name}/out"), rtol=1e-4, atol=atol)
    border, content = np.array(losses).T
    np.testing.assert_allclose(border, vectors("stitch", f"{name}/border_loss"), rtol=1e-4)
    np.testing.assert_allclose(content, vectors("stitch", f"{name}/content_loss"), rtol=2e-3, atol=1e-5)


def test_published_loop_on_style_vectors_agrees_with_reference(model, vectors):
    no_offset = torch.zeros(1, sum(model.network.synthesis.style_sizes()))
    image, _ = _meet(model, vectors, StitchSettings.paper(steps=5), style=no_offset)
    torch.testing.assert_close(image, vectors("stitch", "style_n5/out"), rtol=1e-4, atol=1e-3)


def test_border_distances_are_in_published_units(vectors):
    images = vectors("stitch", "edited"), vectors("stitch", "crop"), vectors("stitch", "border_mask")
    for l1, key in ((False, "l2_border_0"), (True, "l1_border_0")):
        expected = float(vectors("stitch", key))
        assert float(masked_distance(*images, l1=l1)) == pytest.approx(expected, rel=1e-5)


def test_distance_under_an_empty_mask_is_zero():
    ones = torch.ones(1, 3, 8, 8)
    assert masked_distance(ones, -ones, torch.zeros(1, 1, 8, 8)) == 0


def test_style_edits_leave_the_layers_before_the_styles_alone(model):
    chosen = trained_for(model.network.named_parameters(), style=True)
    affine = {id(p) for name, p in model.network.named_parameters() if ".affine." in name}
    assert affine
    assert not affine & {id(p) for p in chosen}


SETTINGS = StitchSettings(steps=6, lr=3e-3, threshold=0.0, patience=0)


@pytest.fixture
def frames(vectors):
    """Four frames with edits of different rows."""
    rows = vectors("pti", "pivots").numpy()
    made = []
    foreground = np.zeros((64, 64), np.float32)
    foreground[16:48, 18:46] = 1
    for n in range(4):
        ws = rows[n % 3]
        moved = ws + 0.3 * np.random.default_rng(n).normal(size=ws.shape).astype(np.float32)
        target = vectors("pti", "images")[n % 3]
        made.append(StitchFrame(1001 + n, target, Code(ws), Code(moved), None, None, foreground))
    return made


def test_results_do_not_depend_on_the_order_of_frames(model, frames):
    stitcher = Stitcher(model, SETTINGS)
    forwards = {frame.frame: stitcher.stitch(frame) for frame in frames}
    backwards = {frame.frame: stitcher.stitch(frame) for frame in [*frames[::-1], frames[2]]}
    alone = Stitcher(model, SETTINGS).stitch(frames[2])
    for number, result in forwards.items():
        assert np.array_equal(result.edited, backwards[number].edited)
        assert result.losses == backwards[number].losses
    assert np.array_equal(alone.edited, forwards[1003].edited)


def test_the_model_is_left_as_it_was_found_even_after_an_error(model, frames):
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    stitcher = Stitcher(model, SETTINGS)
    stitcher.stitch(frames[0])
    real, calls = model.synthesize, []

    def breaks(*args, **kwargs):
        calls.append(1)
        if len(calls) == 5:
            raise RuntimeError("out of memory")
        return real(*args, **kwargs)

    model.synthesize = breaks
    with pytest.raises(RuntimeError):
        stitcher.stitch(frames[1])
    for name, tensor in model.network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert not any(p.requires_grad for p in model.network.parameters())


def test_the_border_comes_nearer_to_the_reconstruction_and_the_inside_stays(model, frames):
    result = Stitcher(model, replace(SETTINGS, steps=25)).stitch(frames[0])
    assert result.losses["border_after"] < 0.3 * result.losses["border_before"]
    kept = Stitcher(model, replace(SETTINGS, steps=25, content=10.0)).stitch(frames[0])
    assert kept.losses["content_after"] < 0.5 * result.losses["content_after"]
    assert result.recon.shape == result.edited.shape == (64, 64, 3)


def test_replace_drives_the_border_to_the_plate(model, frames):
    near_plate = Stitcher(model, replace(SETTINGS, steps=25, surroundings="plate")).stitch(frames[0])
    near_recon = Stitcher(model, replace(SETTINGS, steps=25)).stitch(frames[0])
    plate = (frames[0].target.permute(1, 2, 0).numpy() + 1) / 2
    ring = np.zeros((64, 64), bool)
    ring[13:16, 18:46] = True
    assert np.abs(near_plate.edited - plate)[ring].mean() < np.abs(near_recon.edited - plate)[ring].mean()


def test_an_edit_of_nothing_takes_one_look_and_stays(model, frames):
    still = replace(frames[0], after=frames[0].before)
    result = Stitcher(model, replace(SETTINGS, threshold=1e-6)).stitch(still)
    assert result.losses["steps"] == 1
    assert np.array_equal(result.recon, result.edited)


def test_the_loop_ends_when_it_gains_nothing(model, frames):
    result = Stitcher(model, replace(SETTINGS, steps=200, lr=1e-9, patience=4)).stitch(frames[0])
    assert result.losses["steps"] < 10


def test_a_disabled_stitch_gives_the_edit_as_it_is(model, frames):
    result = Stitcher(model, replace(SETTINGS, steps=0)).stitch(frames[0])
    ws = torch.from_numpy(frames[0].after.ws)[None]
    expected = (model.synthesize(ws, None)[0].permute(1, 2, 0).numpy() + 1) / 2
    np.testing.assert_allclose(result.edited, expected, atol=1e-6)
    assert result.losses["steps"] == 0


def _job(**fields):
    edits = [{"direction": "smile", "strength": 1.0}]
    return Job.from_data({"schema": "stit.job/1", "plate": "a.exr", "edits": edits, **fields})


PACK = SimpleNamespace(schedule={"stitch_steps": 24, "stitch_lr": 1e-3, "steps": 900})


def test_jobs_and_packs_choose_the_numbers():
    settings = StitchSettings.of(_job(stitch={"inner": 1, "outer": 40}), PACK)
    assert (settings.steps, settings.lr, settings.outer, settings.inner) == (24, 1e-3, 40, 1)
    assert settings.surroundings == "recon"
    draft = StitchSettings.of(_job(quality="draft", putback="replace"), PACK)
    assert (draft.steps, draft.surroundings) == (8, "plate")
    published = StitchSettings.of(_job(tune={"schedule": "paper"}), PACK)
    assert (published.steps, published.lr, published.threshold) == (100, 3e-4, 0.0)
    assert StitchSettings.of(_job(stitch={"enabled": False}), PACK).steps == 0


def test_what_a_job_says_of_the_stitching_comes_before_pack_and_schedule():
    asked = {"steps": 7, "lr": 2e-3, "content": 0.5, "threshold": 0.005, "l1": True}
    for schedule in ("default", "paper"):
        settings = StitchSettings.of(_job(tune={"schedule": schedule}, stitch=asked), PACK)
        assert {name: getattr(settings, name) for name in asked} == asked
    assert StitchSettings.of(_job(stitch={"whole_image_border": True}), PACK).whole_image_border
    assert not settings.whole_image_border


def test_the_whole_image_around_the_face_is_driven_to_its_surroundings_where_asked(model, frames):
    ring, whole = (
        Stitcher(model, replace(SETTINGS, steps=25, whole_image_border=wide)).stitch(frames[0])
        for wide in (False, True)
    )
    corner = np.s_[:6, :6]  # far outside the ring
    missed = [np.abs(r.edited - r.recon)[corner].mean() for r in (ring, whole)]
    assert missed[1] < 0.7 * missed[0]
