"""The official FF++ split and the report's sampling, on fabricated records."""

import json
from collections import Counter

import pytest

from stf_mamba.core.errors import DatasetError, LeakError
from stf_mamba.core.records import VideoRecord
from stf_mamba.datasets.audit import audit, require_disjoint
from stf_mamba.datasets.protocols import PUBLISHED_LEAKS, REPORT_METHODS, official_ffpp_split, report_protocol

# Ten pairs in their official parts; 755 and 756 come from one YouTube video, and so do 954 and 955.
PAIRS = {
    "train": [("756", "503"), ("976", "954"), ("071", "054"), ("087", "081"), ("881", "856"), ("187", "234")],
    "val": [("720", "672"), ("939", "115")],
    "test": [("755", "759"), ("078", "955")],
}


def ffpp(pairs, methods=REPORT_METHODS):
    records = []
    for a, b in pairs:
        records += [VideoRecord(f"ffpp/real/{x}", "x.mp4", 0, (f"ffpp:{x}",), "real") for x in (a, b)]
        records += [
            VideoRecord(f"ffpp/{method}/{t}_{s}", "x.mp4", 1, (f"ffpp:{t}", f"ffpp:{s}"), method)
            for method in methods
            for t, s in ((a, b), (b, a))
        ]
    return records


def celebdf(count):
    reals = [
        VideoRecord(f"celebdf/real/{i:05d}", "x.mp4", 0, (f"celebdf:youtube{i:05d}",), "real") for i in range(count)
    ]
    fakes = [
        VideoRecord(
            f"celebdf/Celeb-synthesis/id0_id1_{i:04d}", "x.mp4", 1, ("celebdf:id0", "celebdf:id1"), "Celeb-synthesis"
        )
        for i in range(count)
    ]
    return reals + fakes


@pytest.fixture
def splits_folder(tmp_path):
    for name, pairs in PAIRS.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(pairs))
    return tmp_path


@pytest.fixture(scope="module")
def full_size():
    """As many videos as FF++ has: 500 pairs, four methods."""
    return ffpp([(f"{number:03d}", f"{number + 1:03d}") for number in range(0, 1000, 2)])


def all_pairs():
    return [pair for pairs in PAIRS.values() for pair in pairs]


def test_official_split_puts_originals_by_id_and_swaps_by_pair(splits_folder):
    records = ffpp(all_pairs(), ("Deepfakes", "FaceSwap"))
    split = official_ffpp_split(records, splits_folder)
    assert split.validation == tuple(
        sorted(
            [f"ffpp/real/{sequence}" for sequence in ("720", "672", "939", "115")]
            + [
                f"ffpp/{method}/{pair}"
                for method in ("Deepfakes", "FaceSwap")
                for pair in ("720_672", "672_720", "939_115", "115_939")
            ]
        )
    )
    assert {part: len(ids) for part, ids in split.parts.items()} == {"train": 36, "validation": 12, "test": 12}


def test_official_split_has_the_known_youtube_leaks_and_no_other(splits_folder):
    records = ffpp(all_pairs())
    split = official_ffpp_split(records, splits_folder)
    assert [(leak.kind, leak.value, leak.parts) for leak in audit(split, records)] == [
        ("youtube_source", "ffpp:755+ffpp:756", ("train", "test")),
        ("youtube_source", "ffpp:954+ffpp:955", ("train", "test")),
    ]
    with pytest.raises(LeakError, match="2 youtube_source"):
        require_disjoint(split, records)
    require_disjoint(split, records, tolerated=PUBLISHED_LEAKS[split.name])


def test_videos_of_actors_take_no_part(splits_folder):
    actor = VideoRecord("ffpp/real/01__podium", "x.mp4", 0, ("ffpp:actor01",), "real")
    split = official_ffpp_split([*ffpp(all_pairs()), actor], splits_folder)
    assert split.part_of("ffpp/real/01__podium") is None


def test_official_split_counts_what_does_not_fit(splits_folder):
    records = [record for record in ffpp(all_pairs()) if record.video_id != "ffpp/real/720"]
    records += ffpp([("720", "900")])[1:3]  # an original and a swap that no list names
    with pytest.raises(
        DatasetError, match=r"2 videos are in no list \(ffpp/Deepfakes/720_900, ffpp/real/900\), 1 listed"
    ):
        official_ffpp_split(records, splits_folder)


@pytest.mark.parametrize(
    "text", [None, "no json", "{}", "[]", '[["000"]]', "[[0, true]]", "[[0, 1000]]", '[["a", "b"]]']
)
def test_unreadable_official_file_is_named(splits_folder, text):
    path = splits_folder / "val.json"
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(DatasetError, match=r"val\.json(, line 1,| is missing| is no list of pairs| names )"):
        official_ffpp_split(ffpp(all_pairs()), splits_folder)


@pytest.mark.parametrize("written", [int, lambda sequence: str(int(sequence))])
def test_official_lists_of_numbers_or_without_zeros_read_alike(splits_folder, written):
    as_published = official_ffpp_split(ffpp(all_pairs()), splits_folder)
    for path in splits_folder.iterdir():
        pairs = [[written(sequence) for sequence in pair] for pair in json.loads(path.read_text())]
        path.write_bytes(json.dumps(pairs).encode("utf-8-sig"))
    assert official_ffpp_split(ffpp(all_pairs()), splits_folder) == as_published


def test_sequence_in_two_official_lists_is_an_error(splits_folder):
    (splits_folder / "val.json").write_text(json.dumps([["071", "672"]]))
    with pytest.raises(DatasetError, match="071 is in two lists"):
        official_ffpp_split(ffpp(all_pairs()), splits_folder)


def methods_of(ids):
    return Counter(video_id.split("/")[1] for video_id in ids)


@pytest.mark.parametrize("variant", ["correct", "report"])
def test_report_sampling_has_the_reported_counts(full_size, variant):
    split = report_protocol(full_size, celebdf(250), variant=variant)
    assert methods_of(split.train) == {"real": 600, **dict.fromkeys(REPORT_METHODS, 150)}
    assert methods_of(split.validation) == {
        "real": 50,
        "Deepfakes": 13,
        "Face2Face": 13,
        "FaceSwap": 12,
        "NeuralTextures": 12,
    }
    assert methods_of(split.test) == {"real": 200, "Celeb-synthesis": 200}
    assert all(video_id.startswith("celebdf/") for video_id in split.test)


def test_correct_variant_leaks_nothing_and_report_variant_leaks_sources(full_size):
    records = full_size + celebdf(200)
    require_disjoint(report_protocol(full_size, celebdf(200)), records)
    as_reported = report_protocol(full_size, celebdf(200), variant="report")
    kinds = Counter(leak.kind for leak in audit(as_reported, records))
    assert kinds["source"] > 0
    assert set(kinds) <= {"source", "youtube_source"}
    require_disjoint(as_reported, records, tolerated=PUBLISHED_LEAKS[as_reported.name])


def test_report_sampling_depends_on_the_seed_alone(full_size):
    split = report_protocol(full_size, celebdf(200))
    assert report_protocol(full_size[::-1], celebdf(200)[::-1]) == split
    assert report_protocol(full_size, celebdf(200), seed=43).sha256 != split.sha256


def test_too_small_a_corpus_is_counted(full_size):
    with pytest.raises(DatasetError, match=r"test \(Celeb-DF\) needs 200 real, 178 available; .* 200 fake, 178"):
        report_protocol(full_size, celebdf(178))
    with pytest.raises(DatasetError, match=r"train \(FF\+\+\) needs 600 real, \d+ available"):
        report_protocol(full_size[:3000], celebdf(200))


def test_scale_draws_a_fraction():
    records = ffpp([(f"{number:03d}", f"{number + 1:03d}") for number in range(0, 20, 2)])
    split = report_protocol(records, celebdf(10), scale=0.02)
    assert methods_of(split.train) == {"real": 12, **dict.fromkeys(REPORT_METHODS, 3)}
    assert methods_of(split.validation) == {"real": 1, "Deepfakes": 1}
    assert {part: len(ids) for part, ids in split.parts.items()} == {"train": 24, "validation": 2, "test": 8}


def test_other_methods_and_actors_are_not_drawn():
    records = ffpp([("000", "003"), ("001", "870")], (*REPORT_METHODS, "FaceShifter"))
    records += [VideoRecord(f"ffpp/real/01__{i}", "x.mp4", 0, ("ffpp:actor01",), "real") for i in range(50)]
    split = report_protocol(records, celebdf(2), scale=0.002, methods=["FaceSwap"])
    drawn = (*split.train, *split.validation)
    assert set(methods_of(drawn)) == {"real", "FaceSwap"}
    assert not any("01__" in video_id for video_id in drawn)


@pytest.mark.parametrize("wrong", [{"scale": 0}, {"scale": 1.5}, {"variant": "fair"}, {"methods": []}])
def test_wrong_arguments(wrong):
    with pytest.raises(ValueError, match="scale must be in"):
        report_protocol([], [], **wrong)
