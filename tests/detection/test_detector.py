"""From a file to a verdict with reasons, and from a saved verdict to its page."""

import hashlib
import json
import re
from dataclasses import replace
from fractions import Fraction

import av
import pytest
import torch

from fixed_faces import LEFT, RECIPE, RIGHT, SURE, FixedFaces, detector
from stf_mamba.clips.records import ClipSettings
from stf_mamba.core.errors import VerdictError, VideoError
from stf_mamba.core.files import sha256_of
from stf_mamba.core.recipe import EncoderRecipe, HeadRecipe, TemporalRecipe
from stf_mamba.core.records import Outcome, Verdict
from stf_mamba.datasets.drawn import KNOWS_DRAWINGS_ONLY
from stf_mamba.datasets.splits import Split
from stf_mamba.detection.case_report import PageCrops, write_case_report
from stf_mamba.detection.detector import SEEN, UNTRAINED, Detector, load_detector
from stf_mamba.evaluation.runs import Run
from stf_mamba.models.clip_detector import build_detector
from video_files import numbered_frames, write_video


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("videos") / "six [seconds].mp4"
    return write_video(path, numbered_frames(150, 200, 120), fps=Fraction(25)) or path


def test_every_face_is_scored_and_the_worst_decides(video):
    verdict = detector(LEFT, RIGHT).detect(video)
    assert verdict.outcome is Outcome.MANIPULATED
    assert [track.track_id for track in verdict.tracks] in ([0, 1], [1, 0])
    assert verdict.tracks[0].logit >= verdict.tracks[1].logit
    assert verdict.probability == pytest.approx(0.9526, abs=1e-3)
    clip = verdict.tracks[0].clips[0]
    assert len(clip.consistency) == len(clip.times_s) == 32
    lowest = clip.times_s[clip.consistency.index(min(clip.consistency))]
    assert f"least consistent frame is at {lowest:.2f} s" in " ".join(verdict.reasons)
    assert "calibrated on ten simulated videos" in verdict.reasons[0]


def test_windows_that_were_not_looked_at_are_counted(video):
    verdict = detector(LEFT, window_s=2.0, clips_per_track=2).detect(video)
    assert len(verdict.tracks[0].clips) == 2
    assert any(reason.startswith("2 of 3 windows") for reason in verdict.reasons)


def test_without_calibration_nothing_is_decided(video):
    verdict = detector(LEFT, calibration=None).detect(video)
    assert (verdict.outcome, verdict.probability, verdict.interval) == (Outcome.INCONCLUSIVE, None, None)
    assert "no calibration" in verdict.reasons[0]


def test_a_model_that_separates_nothing_decides_nothing(video):
    useless = replace(SURE, auc=0.55, auc_low=0.4, auc_high=0.8)
    verdict = detector(LEFT, calibration=useless).detect(video)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.reasons[1].startswith("On ten simulated videos the model was not shown to separate")
    assert (
        "(AUC 0.55, 95 % interval 0.40 to 0.80, nothing being chosen on the people that are scored)"
        in verdict.reasons[1]
    )


def test_a_file_that_was_trained_on_is_said_to_be_one(video):
    assert detector(LEFT, known_files=[sha256_of(video)]).detect(video).reasons[0] == SEEN
    assert SEEN not in detector(LEFT, known_files=["0" * 64]).detect(video).reasons


def test_an_untrained_model_says_so(video):
    verdict = detector(LEFT, calibration=None, trained=False).detect(video)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.reasons[0] == UNTRAINED


def test_a_model_of_drawings_decides_nothing(video, tmp_path):
    analyst = detector(LEFT)
    drawn = Detector(
        analyst.model, analyst.settings, 32, analyst.face_detector, SURE, {"drawn": True}, torch.device("cpu"),
        known_files=[sha256_of(video)],
    )  # fmt: skip
    verdict = drawn.detect(video)
    assert (verdict.outcome, verdict.probability, verdict.interval) == (Outcome.INCONCLUSIVE, None, None)
    assert verdict.reasons[:2] == (KNOWS_DRAWINGS_ONLY, SEEN)
    assert not any("calibrat" in reason for reason in verdict.reasons[2:])
    assert '<p class="warning"' in write_case_report(verdict, tmp_path / "v.html").read_text()
    assert '<p class="warning"' not in write_case_report(analyst.detect(video), tmp_path / "v.html").read_text()


def test_no_face_and_no_video_are_not_analysable(video, tmp_path):
    blind = detector().detect(video)
    assert (blind.outcome, blind.score, blind.tracks) == (Outcome.NOT_ANALYSABLE, None, ())
    assert "no face found in 30 frames" in blind.reasons[0]
    small = detector((0.0, 0.0, 20.0, 20.0)).detect(video)
    assert small.outcome is Outcome.NOT_ANALYSABLE
    assert len(small.dropped) == 1
    (tmp_path / "notes.mp4").write_text("no video at all")
    text = detector(LEFT).detect(tmp_path / "notes.mp4")
    assert text.outcome is Outcome.NOT_ANALYSABLE
    assert len(text.provenance["sha256"]) == 64
    with pytest.raises(VideoError, match="no file at"):
        detector(LEFT).detect(tmp_path / "absent.mp4")


def test_a_face_at_one_frame_a_second_is_told_that_the_frames_are_too_far_apart(tmp_path):
    slow = write_video(tmp_path / "slow.mp4", numbered_frames(15, 200, 120), fps=Fraction(1))
    verdict = detector(LEFT).detect(slow)
    assert verdict.outcome is Outcome.NOT_ANALYSABLE
    assert "the video's frames are 1.0 s apart there" in verdict.reasons[0]
    assert "seen for" not in " ".join((*verdict.reasons, *(face.reason for face in verdict.dropped)))


@pytest.mark.parametrize(("people", "said"), [(["a", "b"], "2 people"), (None, "an unknown number of people")])
def test_the_page_says_of_how_many_videos_and_people_a_model_learned(video, tmp_path, monkeypatch, people, said):
    environment = {"dataset": "ffpp-c23"} | ({} if people is None else {"identities": people})
    run = Run(tmp_path, RECIPE, ClipSettings("fixed"), Split("s", ("v/1", "v/2"), ("v/3",), ("v/4",)), environment)
    monkeypatch.setattr(Run, "load", lambda _: run)
    monkeypatch.setattr(Run, "model", lambda *_: build_detector(RECIPE).eval())
    monkeypatch.setattr("stf_mamba.detection.detector.load_face_detector", lambda _: FixedFaces(LEFT))
    verdict = load_detector(tmp_path, "cpu").detect(video)
    words = f"ffpp-c23: 3 videos of {said}, those for validation included"
    assert verdict.provenance["model"]["trained_on"] == words
    assert f"<th>model: trained on</th><td>{words}</td>" in write_case_report(verdict, tmp_path / "v.html").read_text()


def test_the_same_file_gives_the_same_verdict(video):
    first, second = detector(LEFT).detect(video), detector(LEFT).detect(video)
    assert first.tracks == second.tracks


def test_a_verdict_is_loaded_as_it_was_saved(video, tmp_path):
    for analyst in (detector(LEFT, RIGHT), detector()):
        verdict = analyst.detect(video)
        assert Verdict.load(verdict.save(tmp_path / "v.json")) == verdict
    for content in (b"{}", b"[1]", b"no JSON", b"\xff", (tmp_path / "v.json").read_bytes()[:-9]):
        (tmp_path / "v.json").write_bytes(content)
        with pytest.raises(VerdictError, match=r"v\.json.*give the JSON that stf detect wrote, unchanged"):
            Verdict.load(tmp_path / "v.json")
    with pytest.raises(VerdictError, match=r"absent\.json"):
        Verdict.load(tmp_path / "absent.json")


def test_a_file_is_hashed_once_and_decoded_twice_and_its_page_is_that_of_the_saved_verdict(
    video, tmp_path, monkeypatch
):
    opened, hashed = [], []
    by_av, by_hashlib = av.open, hashlib.file_digest
    monkeypatch.setattr(av, "open", lambda *args, **more: opened.append(args[0]) or by_av(*args, **more))
    monkeypatch.setattr(hashlib, "file_digest", lambda file, kind: hashed.append(file.name) or by_hashlib(file, kind))
    steps, crops = [], PageCrops()
    verdict = detector(LEFT, RIGHT).detect(video, lambda *step: steps.append(step), on_clip=crops.add)
    page = write_case_report(verdict, tmp_path / "kept.html", crops=crops).read_text()
    assert opened == [str(video)] * 3  # its packets, its faces, its clips
    assert hashed == [str(video)]
    again = write_case_report(verdict, tmp_path / "again.html").read_text()
    pictures = [re.findall('base64,([^"]+)', text) for text in (page, again)]
    assert pictures[0] == pictures[1]
    assert len(pictures[0]) == 64
    searched = [(done, total) for step, done, total in steps if step == "searching faces"]
    assert (searched[0], searched[-1]) == ((0.0, 6.0), (5.8, 6.0))
    assert steps[len(searched) :] == [("cutting clips", 1, 2), ("scoring clips", 2, 2)]
    opened.clear()
    detector().detect(video)
    assert opened == [str(video)] * 2


def test_only_the_same_model_settings_and_calibration_would_give_a_verdict(video, tmp_path):
    verdict = Verdict.load(detector(LEFT).detect(video).save(tmp_path / "v.json"))
    assert detector(LEFT).would_give(verdict)
    assert detector(RIGHT).would_give(verdict)  # where faces are is found, not set
    assert detector().would_give(detector().detect(video))
    assert not detector(LEFT, calibration=replace(SURE, intercepts=(2.0,) * 20)).would_give(verdict)
    assert not detector(LEFT, calibration=replace(SURE, auc_low=0.4)).would_give(verdict)
    assert not detector(LEFT, calibration=None).would_give(verdict)
    assert not detector(LEFT, window_s=2.0).would_give(verdict)
    assert not detector(LEFT, trained=False).would_give(verdict)
    other = detector(LEFT)
    other.model_facts = {"run": "r", "weights_sha256": "0"}
    assert not other.would_give(verdict)
    unforeseen = detector(LEFT).not_analysable(video, "unexpected error", sha256_of(video))
    assert not detector(LEFT).would_give(unforeseen)


def test_a_page_can_be_made_from_a_saved_verdict(video, tmp_path):
    verdict = detector(LEFT, RIGHT).detect(video)
    saved = Verdict.load(verdict.save(tmp_path / "v.json"))
    page = write_case_report(saved, tmp_path / "v.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 64
    assert page.count("<svg") == 2
    assert "Signs of manipulation found" in page
    assert "six [seconds].mp4" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "<script" not in page


def test_a_model_that_compares_parts_of_the_picture_says_what_they_add(video, tmp_path):
    recipe = replace(
        RECIPE,
        encoder=EncoderRecipe("vit_miniature", 0, token="relations"),
        temporal=TemporalRecipe("none", 0),
        head=HeadRecipe("standardised_content"),
    )
    analyst = detector(LEFT, RIGHT, recipe=recipe, window_s=3.0)
    torch.nn.init.normal_(analyst.model.head.classifier.weight, generator=torch.Generator().manual_seed(1))
    torch.nn.init.constant_(analyst.model.head.classifier.bias, 0.75)
    verdict = analyst.detect(video)
    clip = max(verdict.tracks[0].clips, key=lambda scored: scored.logit)
    assert [c.constant for t in verdict.tracks for c in t.clips] == pytest.approx([0.75] * 4, abs=1e-3)
    assert sum(clip.frame_logits) / 32 == pytest.approx(clip.logit, abs=1e-5)
    said = next(reason for reason in verdict.reasons if "this model compares parts of the picture" in reason)
    assert all(f"{name} {value:+.2f}" in said for name, value in clip.relations.items())
    assert "judges by what a face looks like" not in " ".join(verdict.reasons)
    highest = clip.times_s[clip.frame_logits.index(max(clip.frame_logits))]
    assert f"frame with the highest logit is at {highest:.2f} s" in " ".join(verdict.reasons)
    saved = Verdict.from_json(json.loads(verdict.save(tmp_path / "v.json").read_text()))
    assert saved == verdict
    page = write_case_report(saved, tmp_path / "v.html").read_text()
    assert page.count('class="bars"') == 2
    assert page.count('class="outstanding"') == 16
    assert "The four highest of a clip are framed." in page
    assert f"{max(clip.frame_logits):+.2f}</figcaption>" in page


def test_frames_without_a_difference_are_not_pointed_at(video, tmp_path):
    recipe = replace(RECIPE, temporal=TemporalRecipe("none", 0), head=HeadRecipe("standardised_content"))
    verdict = detector(LEFT, recipe=recipe).detect(video)  # its line is still zero
    assert set(verdict.tracks[0].clips[0].frame_logits) == {0.0}
    assert "highest logit" not in " ".join(verdict.reasons)
    assert "Observed, not judged by: the least consistent frame" in verdict.reasons[-1]
    assert 'class="outstanding"' not in write_case_report(verdict, tmp_path / "v.html").read_text()


def test_a_verdict_of_before_these_figures_is_read_and_pictured(video, tmp_path):
    written = detector(LEFT).detect(video).to_json()
    for clip in written["tracks"][0]["clips"]:
        del clip["frame_logits"], clip["relations"]
    assert 'class="outstanding"' in write_case_report(Verdict.from_json(written), tmp_path / "v.html").read_text()


def test_a_page_of_a_model_that_reads_variance_has_no_comparisons(video, tmp_path):
    page = write_case_report(detector(LEFT).detect(video), tmp_path / "v.html").read_text()
    assert 'class="bars"' not in page
    assert "The four least consistent frames of a clip are framed." in page


def test_a_page_is_not_made_of_another_file(video, tmp_path):
    verdict = detector(LEFT).detect(video)
    with pytest.raises(VideoError, match=r"not at .* any more"):
        write_case_report(verdict, tmp_path / "v.html", tmp_path / "absent.mp4")
    (tmp_path / "other.mp4").write_bytes(b"other")
    with pytest.raises(VideoError, match=r"has the sha256 .* the verdict was made of"):
        write_case_report(verdict, tmp_path / "v.html", tmp_path / "other.mp4")
    assert not (tmp_path / "v.html").exists()


def test_what_a_file_says_of_itself_is_escaped_in_the_page(video, tmp_path):
    verdict = replace(detector().detect(video), reasons=("<script>alert(1)</script>",))
    page = write_case_report(verdict, tmp_path / "v.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
