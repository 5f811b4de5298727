"""A scene as a 64x64 grey image: an axial slice or a projection, with its nodules and its noise.

Brightness runs from 0 to 1. The anatomy is the same in every image up to small shifts; nodules add
brightness through a soft disc, most of it in calcified ones, least (and with a softer rim) in ground-glass
ones. Soft edges are fractions of polynomials, not exp or tanh: those differ in the last bit from processor
to processor, and so would the pixels.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from medprm_hf.ids import stable_seed
from medprm_hf.phantom.world import LUNG_AXES, LUNG_CENTRES, LUNG_Y, Kind, Look, Nodule, Scene

SIZE = 64
NOISE_SD = 0.035
_BRIGHT: dict[Kind, float] = {"ground-glass": 0.2, "solid": 0.42, "calcified": 0.72}
_RIM: dict[Kind, float] = {"ground-glass": 0.7, "solid": 0.45, "calcified": 0.4}  # px of blur at the edge

Plane = NDArray[np.float32]
_Y, _X = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)


def render(scene: Scene) -> NDArray[np.uint8]:
    """The image, shape (64, 64); the same scene gives the same pixels."""
    rng = np.random.Generator(np.random.Philox(key=stable_seed("noise", scene.scene_id)))
    noisy = clean(scene) + rng.normal(0.0, NOISE_SD, (SIZE, SIZE))
    return np.round(np.clip(noisy, 0.0, 1.0) * 255).astype(np.uint8)


def clean(scene: Scene) -> Plane:
    """The image before noise, brightness 0 to 1, shape (64, 64)."""
    plane = _anatomy(scene.look).copy()
    for nodule in scene.nodules:
        plane += scene.contrast * _BRIGHT[scene.kind] * _disc(nodule, _RIM[scene.kind])
    return plane


def png_bytes(scene: Scene) -> bytes:
    """The image as a PNG file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(render(scene)).save(buffer, format="PNG")
    return buffer.getvalue()


def _disc(nodule: Nodule, rim: float) -> Plane:
    """1 inside, 0 outside, 0.5 on the edge."""
    across, down = _X - np.float32(nodule.x), _Y - np.float32(nodule.y)
    distance = np.sqrt(across * across + down * down)
    inside = np.clip((np.float32(nodule.diameter / 2) - distance) / np.float32(rim), -3, 3)
    square = inside * inside
    disc: Plane = np.float32(0.5) + np.float32(0.5) * inside * (27 + square) / (27 + 9 * square)
    return disc


def _bump(distance: Plane) -> Plane:
    """1 at distance 0, falling to 0 much as exp(-distance^2) does."""
    square = distance * distance
    bump: Plane = (1 / (1 + square + square * square / 2)).astype(np.float32)
    return bump


@lru_cache(maxsize=2)
def _anatomy(look: Look) -> Plane:
    return _axial() if look == "axial" else _projection()


def _axial() -> Plane:
    """Body, two lungs, mediastinum by omission, spine."""
    plane = 0.5 * _ellipse(32, 32, 31, 26)
    plane = np.where(_lungs("axial"), np.float32(0.12), plane)
    spine = _ellipse(32, 51, 3.5, 3.5) > 0
    return np.where(spine, np.float32(0.85), plane).astype(np.float32)


def _projection() -> Plane:
    """Chest wall, two tall lungs with ribs over them, heart shadow, spine, diaphragm."""
    plane = np.where(_lungs("projection"), np.float32(0.16), np.float32(0.5))
    for rib in range(7):  # ribs are faint arcs that fall away to the sides
        arc = 8 + 8 * rib + ((_X - 32) / 12) ** 2
        plane += 0.05 * _bump((_Y - arc) / np.float32(1.1))
    plane += 0.10 * _ellipse(36, 42, 8, 10)
    plane += 0.15 * _bump((_X - 32) / 3)
    return plane.astype(np.float32)


def _ellipse(x: float, y: float, half_x: float, half_y: float) -> Plane:
    inside: NDArray[np.bool_] = ((_X - x) / half_x) ** 2 + ((_Y - y) / half_y) ** 2 <= 1
    disc: Plane = inside.astype(np.float32)
    return disc


def _lungs(look: Look) -> NDArray[np.bool_]:
    half_x, half_y = LUNG_AXES[look]
    right, left = (_ellipse(x, LUNG_Y[look], half_x, half_y) for x in LUNG_CENTRES.values())
    either: NDArray[np.bool_] = (right + left) > 0
    return either
