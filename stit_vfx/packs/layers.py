"""A crop taken apart into what moves and what does not, and put together again after the face has moved.

Four layers, from the back: the backdrop, which stays; the face with its neck, which follows the flow; what is
worn on the head (hair, glasses, a hat), which follows the head's turn alone; and what stands before it (a
collar, a hand, a microphone), which stays. Nothing is keyed: the picture is kept, and only the *difference*
that a moved layer makes is added to it, so that an error of the mattes costs some of the edit, and never
leaves a hole. All is a smooth function of the soft mattes, and exactly nothing where nothing moves.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from stit_vfx.plate.composite import OVERSHOOT, sample_within
from stit_vfx.plate.warp import sample
from stit_vfx.shape.backdrop import backdrop, continued, nearest
from stit_vfx.shape.beside import standing_beside
from stit_vfx.shape.disc import disc
from stit_vfx.shape.fill import fill
from stit_vfx.shape.grain import grain_like
from stit_vfx.shape.parts import Parts
from stit_vfx.shape.ramp import ramp, smoothstep
from stit_vfx.shape.stretch import least_scale
from stit_vfx.shape.zones import Zones

Array = np.ndarray

_FACE = ("skin", "brow", "eye", "lips", "mouth", "neck")
_STANDING = ("cloth", "hand", "thing")
_DOUBT = 0.1  # a softmax is never quite 0 or 1: shares within this of either are
_SPILL = 0.008  # of the crop's side: so near an obstacle its colour may have run into the skin
_WISPS = 0.014  # of the crop's side: so far off a head that turns there are hairs and light that go with it
_DRAWN, _PORES = (0.35, 0.6), 0.005  # px of the plate for a px of the picture; of the crop's side
_RIM = 0.004  # of the crop's side: so far beyond its matte a moving face's edge still has its colour
_ITS_OWN, _UNLIKE_WALL = (0.05, 0.3), (0.05, 0.15)  # of the way from the wall's colour; of code
_A_STEP = (0.2, 0.4)  # of code, in a backdrop
_MISSED = 0.06  # of code: a guess at the backdrop that is wrong by so much is likely none
_ON_FACE = 0.03  # of the crop's side: clothes so far inside a face's outline are before it
_JAW = 0.012  # of the crop's side: so far beyond what is firmly face a jaw may cover a collar
_CROWN = 0.06  # of the crop's side: half as wide a gap between parts of a hat is hat
_FIRMLY = 0.9  # skin that is no less than that tells the grain
_SEEN = 0.3  # skin hidden by less is seen
_STEPS = 10  # in which the way to what hides skin is searched
# Skin beside hair is stretched over so many times its way more, and no more of the side; steps of the search.
_EASED, _EASED_WAY, _EASED_STEPS = 3.0, 0.06, 16
# Of the side: so near a brow, of which there is such a share, some hair so near has to be so sure.
_BY_BROW, _SOME_BROW, _FIRM_HAIR = 0.03, (0.05, 0.2), (0.6, 0.9)
_FRAMES = 3.0  # glasses this much surer than hair are glasses
_SKIN = (0.45, 0.65)  # of the way from the backdrop's colour to the face's: from where it may be an ear
_EAR, _AN_EAR = 0.02, (0.15, 0.3)  # of the crop's side; share of such colour that makes an ear
_A_THING, _BESIDE = (0.55, 0.75), 0.02  # of the way from skin's colour to a thing's; of the crop's side
_UNLIKE = (0.1, 0.2)  # of code: a thing's colour and skin's are told apart from here on
_ELSE = 0.02  # weight of hair and cloth as a guess at the backdrop, for where none of it is near
_ROUNDING = 2e-6  # of code: a change so small is none, and the plate keeps its bits
# Frames are thinner than the reader sees: where it half sees one, there is one. Dark ones pass for brows too.
_THIN, _THIN_DARK, _DARK_FRAMES = 1.7, 5.0, (0.3, 0.6)
_FRAMES_SEEN = (0.02, 0.12)  # mean share of frames where they cross the bridge and the cheeks


@dataclass(frozen=True)
class Layers:
    """Mattes (S, S) 0..1 and pictures (S, S, 3) code of one crop.

    `worn`, `standing`: share of a pixel that these layers cover, the one of what the other leaves. `face`:
    how far the face, as it would be without them, covers the backdrop; `head`: the same with what is worn.
    `invented`: how much of `clean` is made up.
    `collar`: share of what stands that a jaw may come to lie over. `hides`: where skin is out of sight behind
    hair or clothes; `hair`: behind hair.
    `unstood`: the crop without what stands before it. `clean`: without what is worn, too. `backdrop`:
    without the head.
    """

    worn: Array
    standing: Array
    face: Array
    head: Array
    invented: Array
    unstood: Array
    clean: Array
    backdrop: Array
    collar: Array
    hides: Array
    hair: Array

    @classmethod
    def of(cls, crop_code: Array, parts: Parts, zones: Zones, *, turns: bool = False) -> Layers:
        """From a crop (S, S, 3) code and what it shows, with edges where the crop has them (`to_edges`). If
        the head `turns`, the backdrop is continued from further off, and nothing is mirrored into it.
        """
        face, behind, worn, standing = np.moveaxis(_shares(crop_code, parts, zones), 2, 0)
        cloth = _ratio(parts.of("cloth"), parts.of(*_STANDING))
        if turns:  # a jaw and a neck go over what is beside them; only clothes on the face are before it
            beside = standing * cloth * (1 - _inside(zones.beard, _ON_FACE))
            behind, standing = behind + beside, standing - beside
        spill = max(1, round(_SPILL * len(crop_code)))
        stood, hidden = _grown(standing, spill), _grown(worn + standing, spill)
        # Clothes beside a head are behind it as well: they go on where it uncovers them.
        collar = cloth * (1 - zones.face)
        beyond = behind + standing * collar
        spilt = _grown(1 - beyond, max(1, round(_WISPS * len(crop_code))) if turns else spill)
        stays = np.zeros_like(spilt)
        if turns:
            stays = standing_beside(crop_code, 1 - beyond, parts.of("cloth"), worn, zones.beard)
            spilt = spilt * (1 - stays)
        near = _sure(beyond * (1 - spilt)) + _ELSE * _sure((1 - face) * (1 - _grown(face, spill)))
        # Half an ear may pass for backdrop: none of that is mirrored into what the head uncovers.
        mirrors = (1 - spilt) * (1 - zones.ears)
        clothes = np.maximum(parts.of(*_STANDING), stays)
        guess = continued(crop_code, 1 - spilt, clothes) if turns else backdrop(crop_code, mirrors, near)
        guesses = (guess, fill(crop_code, near), nearest(crop_code, 1 - spilt)[0])
        steps = _steps(guesses[2])
        own = 1 - stays
        covers, head = (_edges(crop_code, part, behind, guesses, steps, own) for part in (face, face + worn))
        wall = _mixed(crop_code, 1 - spilt, _likeliest(crop_code, guesses, steps * (1 - head)))
        bare_face = face * (1 - hidden)
        skin = fill(crop_code, _sure(bare_face))
        skin = skin + grain_like(crop_code, bare_face > _FIRMLY, skin)
        bare = covers[..., None] * skin + (1 - covers)[..., None] * wall
        # Below a hand a face ends as sharply as beside it; where hair ends nobody knows.
        seen = _sure(1 - stood)
        hairy = fill(_ratio(worn, 1 - standing)[..., None], seen)
        unstood = _mixed(crop_code, 1 - stood, bare + hairy * (fill(crop_code, seen) - bare))
        # Glasses hold nothing, and below a hand or a microphone skin is made up: it moves freely there.
        holds = _grown(worn + standing * cloth, spill)
        holds = holds * (1 - np.clip(_FRAMES * _grown(parts.of("glasses"), spill), 0, 1))
        clean = _mixed(unstood, 1 - _grown(worn, spill), bare)
        if turns:  # nothing goes along with a head but what is near it: two guesses differ behind clothes
            wisps = round(_WISPS * len(crop_code))
            unstood = _mixed(unstood, _grown(head, wisps), wall)
            clean = _mixed(clean, _grown(covers, wisps), wall)
        worn = np.clip(_ratio(worn, 1 - standing), 0, 1)
        return cls(
            worn,
            standing,
            covers,
            head,
            hidden,
            unstood,
            clean,
            wall,
            np.asarray(collar, np.float32),
            holds,
            _grown(_head_of_hair(parts) * (1 - zones.beard), spill),
        )

    def held(self, flow: Array) -> Array:
        """The flow (S, S, 2) px, made shorter where skin would come out from under hair or cloth: it is
        stretched there as far as it is seen, rather than invented.
        """
        here, hides = _grid(len(flow)), self.hides
        share, was = np.zeros(flow.shape[:2]), np.ones(flow.shape[:2])
        found = np.zeros(flow.shape[:2], bool)
        for k, part in enumerate(np.linspace(1, 0, _STEPS + 1)):
            hidden = sample(hides, here + part * flow, how=cv2.INTER_LINEAR)
            new = ~found & (hidden < _SEEN)
            way = np.clip((_SEEN - hidden) / np.maximum(was - hidden, 1e-6), 0, 1) / _STEPS
            share[new] = (part + way)[new] if k > 0 else 1
            found, was = found | new, hidden
        share = np.minimum(share, self._eased(flow))
        return np.asarray(flow * share[..., None], flow.dtype)

    def _eased(self, flow: Array) -> Array:
        """(S, S) 0..1 how much of a flow (S, S, 2) px is left near hair that it comes from: skin beside that
        is stretched over some way, or its last row of pixels would become streaks.
        """
        length = np.hypot(flow[..., 0], flow[..., 1])
        reach = 1 + np.minimum(_EASED, _EASED_WAY * len(flow) / np.maximum(length, 1e-6))
        here, was, to_hair = _grid(len(flow)), self.hair, reach.copy()
        behind = was >= _SEEN  # already: what comes out from there is for `held`
        found = behind.copy()
        for k in range(1, _EASED_STEPS + 1):
            way = reach / _EASED_STEPS
            hidden = sample(self.hair, here + (k * way)[..., None] * flow, how=cv2.INTER_LINEAR)
            new = ~found & (hidden >= _SEEN)
            part = np.clip((_SEEN - was) / np.maximum(hidden - was, 1e-6), 0, 1)
            to_hair[new] = ((k - 1 + part) * way)[new]
            found, was = found | new, hidden
        eased = np.minimum(1 - (1 - to_hair / reach) ** 2, to_hair)
        return np.where(found & ~behind, eased, 1)

    def moved(self, flow: Array) -> tuple[Array, Array]:
        """The clean crop (S, S, 3) code with its face moved over the backdrop, and where the face then is."""
        return self._over_backdrop(self.clean, self.face, flow)

    def smoothed(self, moved: Array, flow: Array, skin: Array) -> Array:
        """What was moved (S, S, 3), without the streaks that pores become where a turn draws skin out of a
        few pixels: there it is smooth, with the plate's grain. The same bits elsewhere, and between the lids
        and lips that `skin` (S, S) 0..1 leaves open.
        """
        there, wide = _grid(len(flow)) + flow, _PORES * len(flow)
        own = self.face * (1 - self.invented)
        covered = np.clip(sample_within(own, there), 0, 1)
        closed = 1 - _grown(_holes(skin > _DOUBT), max(1, round(wide)))
        drawn = (_drawn_out(flow) * _sure(covered) * closed)[..., None]
        if drawn.max() < _DOUBT:
            return moved
        firm = _sure(own)[..., None]
        total = cv2.GaussianBlur(firm, (0, 0), wide)[..., None]
        smooth = sample_within(cv2.GaussianBlur(self.clean * firm, (0, 0), wide) / total, there)
        smooth = smooth + grain_like(self.clean, own > _FIRMLY, smooth)
        return np.where(drawn == 0, moved, moved + drawn * (smooth - moved))

    def jaw(self, flow: Array, firm: Array) -> Array:
        """(S, S) 0..1: where the face, moved by `flow` (S, S, 2) px, covers a collar. Only what was seen of
        it before, and is `firm` (S, S) 0..1, face and not neck.
        """
        reach = max(1, round(_JAW * len(firm)))
        own = self.face * (1 - self.invented)
        own = np.clip(sample_within(own, _grid(len(flow)) + flow), 0, 1)
        return np.asarray(own * _grown(firm, reach) * self.collar * (flow != 0).any(-1), np.float32)

    def together(self, crop_code: Array, edited: Array, turn: Array, jaw: Array | float = 0.0) -> Array:
        """The crop (S, S, 3) code with the edited, moved clean crop in it, under what is worn, which is moved
        by `turn` (S, S, 2) px, and behind what stands before it, but for where the `jaw` covers that.
        """
        turned, still, worn = self.unstood, self.clean, self.worn
        if turn.any():
            turned, _ = self._over_backdrop(self.unstood, self.head, turn)
            still, _ = self.moved(turn)
            worn = sample_within(self.worn, _grid(len(turn)) + turn)
        shown, free = (1 - worn)[..., None], (1 - self.standing)[..., None]
        over = (self.standing * jaw)[..., None]
        # The two still pictures are taken away from what they are added to, so that nothing is left of them.
        changed = crop_code + free * ((turned - self.unstood) + shown * (edited - still))
        # A share of code is no share of light: above the shoulder an overshoot would glare. Nothing that is
        # made of these is brighter or darker than all of them.
        made_of = np.stack([crop_code, turned, edited, still])
        changed = np.clip(changed, made_of.min(0), made_of.max(0))
        changed = changed + over * (edited - changed)
        return np.where(np.abs(changed - crop_code).max(2, keepdims=True) < _ROUNDING, crop_code, changed)

    def carried(self, flow: Array, turn: Array, face: Array, revealed: Array) -> tuple[Array, Array]:
        """Flow (S, S, 2) and residual (S, S) for the plate's own detail: with the face where it shows, with
        the head where something worn shows, still where something else does, and none where the picture was
        invented.
        """
        here = _grid(len(flow))
        free, worn = 1 - self.standing, sample_within(self.worn, here + turn)
        skin, hair = face * (1 - worn) * free, worn * free
        with_face = skin > 0.5
        with_head = ~with_face & (hair > 0.5)
        left = np.maximum(self.face - face, self.head - sample_within(self.head, here + turn))
        bared = np.clip(left, 0, 1) * (1 - worn) * free
        under = sample_within(self.invented, here + flow)
        stood = sample_within(self.standing, here + turn)
        made_up = np.where(with_face, under, np.where(with_head & turn.any(-1), stood, bared))
        moves = np.where(with_face[..., None], flow, np.where(with_head[..., None], turn, 0))
        still = (flow == 0).all(-1) & (turn == 0).all(-1)
        return moves, np.where(still, 1, 1 - made_up) * (1 - revealed)

    def _over_backdrop(self, picture: Array, covers: Array, flow: Array) -> tuple[Array, Array]:
        there = _grid(len(flow)) + flow
        share = np.clip(sample_within(covers, there), 0, 1)
        bare = (1 - share)[..., None]
        # In this order the backdrop keeps its bits: there, picture and backdrop are the same.
        moved = sample_within(picture, there) - bare * sample_within(self.backdrop, there)
        still = (flow == 0).all(-1, keepdims=True)
        moved = _between(moved + bare * self.backdrop, picture, there, self.backdrop)
        return np.where(still, picture, moved), share


def _holes(mask: Array) -> Array:
    """(S, S) 0 or 1: what a mask encloses and leaves open."""
    inner = mask.astype(np.uint8)
    edges, _ = cv2.findContours(inner, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    whole = inner.copy()
    cv2.drawContours(whole, edges, -1, 1, cv2.FILLED)
    return np.asarray(whole - inner, np.float32)


def _drawn_out(flow: Array) -> Array:
    """(S, S) 0..1: how far the flow (S, S, 2) px draws out what it moves in some direction."""
    least = least_scale(flow)
    low, high = _DRAWN
    share = _smooth((high - least) / (high - low))
    return cv2.GaussianBlur(share, (0, 0), 1.5) * (cv2.dilate(share, np.ones((5, 5))) > 0)


def _between(mixed: Array, picture: Array, there: Array, wall: Array) -> Array:
    """(S, S, 3) what was mixed of a picture, taken from `there` (S, S, 2) px, and of a wall: held to the
    range of both, so that where a matte is wrong no edge is drawn in a colour that neither has.
    """
    kernel = np.ones((3, 3), np.uint8)
    low, high = (
        sample(limit, there, how=cv2.INTER_NEAREST)
        for limit in (cv2.erode(picture, kernel), cv2.dilate(picture, kernel))
    )
    room = OVERSHOOT * (high - low)
    low, high = np.minimum(low - room, wall), np.maximum(high + room, wall)
    return np.asarray(np.clip(mixed, low, high))


def _shares(crop_code: Array, parts: Parts, zones: Zones) -> Array:
    """(S, S, 4): face, backdrop, worn and standing; they sum to 1."""
    are_worn = _are_worn(parts.of("glasses"), zones.frames)
    frames = _frames(crop_code, parts, are_worn)
    beard = parts.of("hair") * zones.beard
    face = (parts.of(*_FACE) + parts.of("glasses") * (1 - are_worn)) * (1 - frames) + beard
    worn = frames + parts.of("hair", "hat") - beard
    # What labels say of the skull's middle and of the far side of the room counts less than the head's place.
    behind = parts.of("background")
    inside, far, ears = zones.skull * behind, zones.far * worn, _ears(crop_code, face, behind, zones)
    hat = np.minimum(_closed(parts.of("hat"), _CROWN) - parts.of("hat"), behind - inside - ears)
    behind, worn = behind - inside - ears - hat + far, worn + inside + hat - far
    standing = parts.of(*_STANDING)
    whole = np.minimum(standing + _rest_of_things(crop_code, parts), 1)
    left = _ratio(1 - whole, 1 - standing)
    shares = [(face + ears) * left, behind * left, worn * left, whole]
    fine = _smooth((np.stack(shares, -1) - _DOUBT) / (1 - 2 * _DOUBT))
    return np.asarray(fine / np.maximum(fine.sum(2, keepdims=True), 1e-6))


def _rest_of_things(crop_code: Array, parts: Parts) -> Array:
    """(S, S) share of a thing's rim that passes for face, but has the colour of the thing beside it."""
    thing, face = parts.of("thing"), parts.of("skin", "lips")
    if thing.max() < 0.5:
        return np.zeros_like(thing)
    its, skin = fill(crop_code, _sure(thing)), fill(crop_code, _sure(face))
    to_thing, to_skin = (np.linalg.norm(crop_code - colour, axis=-1) for colour in (its, skin))
    low, high = _A_THING
    alike = _smooth((_ratio(to_skin, to_skin + to_thing) - low) / (high - low))
    low, high = _UNLIKE
    alike = alike * _smooth((np.linalg.norm(its - skin, axis=-1) - low) / (high - low))
    near = _grown(thing, max(1, round(_BESIDE * len(thing))))
    return np.asarray(np.maximum(near * alike * (thing + face) - thing, 0))


def _frames(crop_code: Array, parts: Parts, are_worn: float) -> Array:
    """(S, S) share of frames of glasses, surest where they are darker than skin.

    Glints of a lens over an eye are none: a lid that closes must not leave the iris standing in them.
    """
    if not are_worn:
        return np.zeros(crop_code.shape[:2], np.float32)
    skin = fill(crop_code, _sure(parts.of("skin")))
    dark = 1 - _ratio(crop_code.mean(2), skin.mean(2))
    low, high = _DARK_FRAMES
    surer = _THIN + (_THIN_DARK - _THIN) * _smooth((dark - low) / (high - low))
    return np.asarray(np.clip(surer * (parts.of("glasses") - parts.of("eye")), 0, 1) * are_worn)


def _are_worn(glasses: Array, where: Array) -> float:
    """0..1: whether glasses are worn. Dark brows may look like frames; only frames cross the bridge."""
    low, high = _FRAMES_SEEN
    seen = float((glasses * where).sum() / max(float(where.sum()), 1e-6))
    return float(_smooth(np.array((seen - low) / (high - low))))


def _covers(part: Array, behind: Array) -> Array:
    """(S, S) share of `part` against the backdrop, continued under everything else."""
    whole = part + behind
    share = fill(_ratio(part, whole)[..., None], whole + 1e-6)[..., 0]
    return _smooth((share - _DOUBT) / (1 - 2 * _DOUBT))


def _steps(backdrop_code: Array) -> Array:
    """(S, S) 0..1: where a backdrop (S, S, 3) code has an edge of its own, as that of a shoulder."""
    rim = max(1, round(_RIM * len(backdrop_code)))
    around = disc(2 * rim)
    most = (cv2.dilate(backdrop_code, around) - cv2.erode(backdrop_code, around)).max(2)
    return cv2.GaussianBlur(ramp(most, *_A_STEP), (0, 0), rim)


def _edges(
    crop_code: Array, part: Array, behind: Array, guesses: tuple[Array, ...], steps: Array, own: Array
) -> Array:
    """(S, S) 0..1: how far a part covers the backdrop, of which there are some `guesses` (S, S, 3).

    A little beyond its matte a part's edge still has its colour, and goes along with it. Where the backdrop
    has `steps` (S, S) of its own, what has the backdrop's colour stays, or they would be smeared;
    and so does what is not the part's `own` (S, S) 0..1.
    """
    rim = max(1, round(_RIM * len(crop_code)))
    covers, front = _covers(part, behind), fill(crop_code, _sure(part))
    to_front = np.linalg.norm(crop_code - front, axis=-1)
    to_wall = np.min([np.linalg.norm(crop_code - guess, axis=-1) for guess in guesses], 0)
    unlike = ramp(np.linalg.norm(front - guesses[1], axis=-1), *_UNLIKE_WALL)
    its_own = 1 - steps * unlike * (1 - ramp(_ratio(to_wall, to_wall + to_front), *_ITS_OWN))
    # A speck of some third colour is no piece of an edge.
    rim_own = cv2.morphologyEx(_grown(covers, rim) * its_own * own, cv2.MORPH_OPEN, disc(2 * rim))
    return np.maximum(covers, rim_own)


def _likeliest(crop_code: Array, guesses: tuple[Array, ...], share: Array) -> Array:
    """(S, S, 3) the first of the guesses at the backdrop, and by `share` (S, S), beside a head, the one that
    is most like what is seen there: the head's colours may have run into that, but on which side of an edge
    of the backdrop it is shows.
    """
    soft = max(1.0, _RIM * len(crop_code))
    off = [cv2.GaussianBlur(((crop_code - guess) ** 2).sum(-1), (0, 0), soft) for guess in guesses]
    likely = np.stack([np.exp(-0.5 * np.minimum(o / _MISSED**2, 60.0)) for o in off]) + 1e-9
    likely = (likely / likely.sum(0))[..., None]
    best = sum((s * guess for s, guess in zip(likely, guesses, strict=True)), np.zeros_like(crop_code))
    return guesses[0] + share[..., None] * (best - guesses[0])


def _mixed(crop_code: Array, known: Array, guess: Array) -> Array:
    """(S, S, 3) the crop where it is known, bit for bit, and the guess where it is not."""
    share = known[..., None]
    return np.where(share == 1, crop_code, share * crop_code + (1 - share) * guess).astype(np.float32)


def _sure(share: Array) -> Array:
    """Weights for filling: of mixed pixels little is known. Never quite nothing, so that there is a mean."""
    return _smooth((share - 0.5) / 0.5) + 1e-6


def _grown(share: Array, radius_px: int) -> Array:
    """(S, S) the share, grown by a disc and soft again."""
    soft = cv2.GaussianBlur(cv2.dilate(share.astype(np.float32), disc(radius_px)), (0, 0), 0.5 * radius_px)
    return _smooth(np.maximum(soft, share) / 0.8)


def _ears(crop_code: Array, face: Array, behind: Array, zones: Zones) -> Array:
    """(S, S) share of what passes for backdrop, but lies where an ear may be and has the colour of the face
    beside it rather than that of the backdrop around.
    """
    share = zones.ears * (1 - zones.skull) * behind
    if share.max() < _DOUBT:
        return share
    skin, wall = fill(crop_code, _sure(face)), fill(crop_code, _sure(behind * (1 - zones.ears)))
    to_skin, to_wall = (np.linalg.norm(crop_code - c, axis=-1) for c in (skin, wall))
    alike = _smooth((_ratio(to_wall, to_wall + to_skin) - _SKIN[0]) / (_SKIN[1] - _SKIN[0]))
    # An ear is judged as a whole: it has shadows, and rims of light.
    wide = _EAR * len(share)
    seen = _ratio(cv2.GaussianBlur(alike * share, (0, 0), wide), cv2.GaussianBlur(share, (0, 0), wide))
    return np.asarray(share * _smooth((seen - _AN_EAR[0]) / (_AN_EAR[1] - _AN_EAR[0])), np.float32)


def _inside(share: Array, reach: float) -> Array:
    """(S, S) the share, smaller by `reach` of the side all around, and soft."""
    inner = cv2.erode(share.astype(np.float32), disc(reach * len(share)))
    return cv2.GaussianBlur(inner, (0, 0), 0.1 * reach * len(share))


def _closed(share: Array, reach: float) -> Array:
    """(S, S) the share, with gaps of less than twice `reach` of the side between its parts closed."""
    if share.max() < 0.5:
        return share
    return np.asarray(cv2.morphologyEx(share.astype(np.float32), cv2.MORPH_CLOSE, disc(reach * len(share))))


def _head_of_hair(parts: Parts) -> Array:
    """(S, S) 0..1: hair, but for what is half taken for some where a brow is."""
    around = disc(_BY_BROW * len(parts.of("hair")))
    brow, firm = (cv2.dilate(parts.of(name), around) for name in ("brow", "hair"))
    doubt = ramp(brow, *_SOME_BROW) * (1 - ramp(firm, *_FIRM_HAIR))
    return np.asarray(parts.of("hair") * (1 - doubt), np.float32)


def _ratio(part: Array, whole: Array) -> Array:
    return part / np.maximum(whole, 1e-6)


def _smooth(x: Array) -> Array:
    return np.asarray(smoothstep(x), np.float32)


def _grid(size: int) -> Array:
    y, x = np.mgrid[:size, :size]
    return np.stack([x, y], -1).astype(np.float64)
