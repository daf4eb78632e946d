"""A detector of videos whose faces stand where a test says, with a model that was never trained."""

import torch

from stf_mamba.clips.records import ClipSettings
from stf_mamba.core.recipe import EncoderRecipe, Recipe, TemporalRecipe
from stf_mamba.core.records import Face
from stf_mamba.detection.detector import Detector
from stf_mamba.evaluation.calibration import Calibration
from stf_mamba.models.clip_detector import build_detector

RECIPE = Recipe(encoder=EncoderRecipe("vit_miniature", 1), temporal=TemporalRecipe("hydra", 1, 32))
LANDMARKS = ((70.0, 60.0), (90.0, 60.0), (80.0, 70.0), (72.0, 85.0), (88.0, 85.0))
SURE = Calibration((0.0,) * 20, (3.0,) * 20, 5, 5, 5, "ten simulated videos", 0.9, 0.8, 1.0)


class FixedFaces:
    """Stands where a detector would: the same boxes in every frame, so that geometry and words can be tested alone."""

    name = "fixed"

    def __init__(self, *boxes_px):
        self.boxes_px = boxes_px

    def detect(self, frames, times_s):
        return [[Face(time_s, box, LANDMARKS, 0.99) for box in self.boxes_px] for time_s in times_s]


LEFT, RIGHT = (20.0, 20.0, 90.0, 100.0), (110.0, 20.0, 180.0, 100.0)


def detector(*boxes_px, calibration=SURE, trained=True, known_files=(), recipe=RECIPE, **settings):
    model = build_detector(recipe).eval()
    clip_settings = ClipSettings("fixed", frames=32, **settings)
    faces = FixedFaces(*boxes_px)
    return Detector(
        model, clip_settings, 32, faces, calibration, {"run": "r"}, torch.device("cpu"), trained, known_files
    )
