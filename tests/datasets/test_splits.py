"""Components, identity-disjoint splits and folds: worked cases, and laws over random links between people."""

import json
from collections import Counter
from itertools import pairwise, product
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stf_mamba.core.errors import DatasetError
from stf_mamba.core.records import VideoRecord
from stf_mamba.datasets.audit import audit
from stf_mamba.datasets.faceforensics import FaceForensics
from stf_mamba.datasets.splits import Split, grouped_folds, identity_components, identity_disjoint_split, linked_groups


def video(name, *people):
    """A swap if two people are given, else an original; ``name`` may be of any data set."""
    label = int(len(people) > 1)
    return VideoRecord(f"set/{'swap' if label else 'real'}/{name}", f"{name}.mp4", label, people)


def pairs(count):
    """Videos of ``count`` pairs of people as in FF++: two originals and the two swaps between them."""
    return [
        record
        for index in range(count)
        for a, b in [(f"{index}a", f"{index}b")]
        for record in (video(a, a), video(b, b), video(f"{a}_{b}", a, b), video(f"{b}_{a}", b, a))
    ]


def labels_by_part(split, records):
    label_of = {record.video_id: record.label for record in records}
    return {part: Counter(label_of[video_id] for video_id in ids) for part, ids in split.parts.items()}


# Few enough links among many people that some corpora fall into several components and others into one.
people = st.integers(0, 15).map("p{:02d}".format)
corpora = st.lists(st.tuples(people, st.one_of(st.none(), people)), min_size=4, max_size=16, unique=True).map(
    lambda shown: [video(f"v{index:02d}", *dict.fromkeys(filter(None, who))) for index, who in enumerate(shown)]
)


def test_components_of_a_chain_a_loner_and_a_star():
    records = [video("1", "a", "b"), video("2", "b", "c"), video("3", "d"), video("4", "e", "f"), video("5", "g", "f")]
    assert identity_components(records) == [{"a", "b", "c"}, {"d"}, {"e", "f", "g"}]
    assert identity_components([video("6")]) == []


def test_components_join_sequences_of_one_youtube_video():
    records = [video("755", "ffpp:755"), video("756", "ffpp:756"), video("757", "ffpp:757"), video("954", "ffpp:954")]
    assert identity_components(records) == [{"ffpp:755", "ffpp:756"}, {"ffpp:757"}, {"ffpp:954"}]
    assert len(identity_components(records, also_linked=())) == 4


@given(corpora)
def test_components_equal_the_closure_of_the_links(records):
    reach = {person: {person} for record in records for person in record.identities}
    for _ in reach:  # as many rounds of merging as there are people suffice
        for record in records:
            union = set().union(*(reach[person] for person in record.identities))
            for person in union:
                reach[person] = reach[person] | union
    assert identity_components(records) == sorted({frozenset(group) for group in reach.values()}, key=min)


@given(corpora, st.floats(0.1, 0.6), st.sampled_from([0.0, 0.2]), st.integers(0, 3), st.integers(0, 99))
def test_split_laws(records, validation_fraction, test_fraction, seed, order):
    try:
        split = identity_disjoint_split(records, validation_fraction, test_fraction, seed)
    except DatasetError:
        assume(False)
    shuffled = Random(order).sample(records, len(records))
    assert identity_disjoint_split(shuffled, validation_fraction, test_fraction, seed) == split

    listed = [video_id for ids in split.parts.values() for video_id in ids]
    assert sorted(listed) == sorted(record.video_id for record in records)
    part_people = [
        {person for record in records if record.video_id in ids for person in record.identities}
        for ids in split.parts.values()
    ]
    assert sum(map(len, part_people)) == len(set().union(*part_people))
    counts = labels_by_part(split, records)
    for part in ("train", "validation", *(["test"] if test_fraction else [])):
        assert counts[part][0] > 0
        assert counts[part][1] > 0
    assert audit(split, records) == []


@given(corpora, st.floats(0.05, 0.95))
def test_a_split_is_found_exactly_where_one_exists(records, validation_fraction):
    # Reference: every way to choose components for validation, tried in turn.
    counts = []
    for component in identity_components(records):
        labels = [record.label for record in records if component & set(record.identities)]
        counts.append((labels.count(0), labels.count(1)))
    both_labels = lambda chosen: all(sum(count[label] for count in chosen) for label in (0, 1))  # noqa: E731
    exists = any(
        both_labels([c for c, bit in zip(counts, bits, strict=True) if bit])
        and both_labels([c for c, bit in zip(counts, bits, strict=True) if not bit])
        for bits in product((False, True), repeat=len(counts))
    )
    if exists:
        identity_disjoint_split(records, validation_fraction)
    else:
        with pytest.raises(DatasetError, match="a component is never cut"):
            identity_disjoint_split(records, validation_fraction)


def test_fraction_is_met_exactly_where_components_are_small():
    records = pairs(50)
    split = identity_disjoint_split(records, 0.2, 0.1)
    assert labels_by_part(split, records) == {
        "train": {0: 70, 1: 70},
        "validation": {0: 20, 1: 20},
        "test": {0: 10, 1: 10},
    }


def test_seed_changes_the_split_and_nothing_else_does():
    records = pairs(20)
    splits = {identity_disjoint_split(records, seed=seed).sha256 for seed in range(5)}
    assert len(splits) == 5
    assert identity_disjoint_split(records[::-1]) == identity_disjoint_split(records)


def test_large_component_stays_in_training():
    # One donor links eight swaps; four pairs stand alone. A quarter of the 32 videos can only come from two pairs.
    linked = [
        record
        for index in range(8)
        for record in (video(f"t{index}", f"t{index}"), video(f"s{index}", f"t{index}", "donor"))
    ]
    records = linked + pairs(4)
    for seed in range(10):
        split = identity_disjoint_split(records, 0.25, seed=seed)
        assert labels_by_part(split, records)["validation"] == {0: 4, 1: 4}


def test_coarse_components_still_give_both_labels():
    # Neither component alone comes nearer to 10 % than an empty part does; it must be taken nevertheless.
    records = pairs(2)
    split = identity_disjoint_split(records, 0.1)
    assert labels_by_part(split, records)["validation"] == {0: 2, 1: 2}


def test_everybody_linked_is_an_error_that_explains():
    records = [video("r0", "p0"), *(video(f"s{index}", a, b) for index, (a, b) in enumerate(pairwise("abcdp")))]
    records += [video("r1", "a"), video("r2", "b")]
    with pytest.raises(DatasetError, match=r"2 components.*largest with 2 real and 4 fake.*never cut"):
        identity_disjoint_split(records)


def test_one_label_only_is_an_error():
    with pytest.raises(DatasetError, match="both real and fake"):
        identity_disjoint_split([video(str(number), f"p{number}") for number in range(10)])


def test_videos_of_unknown_people_are_split_one_by_one():
    records = [
        VideoRecord(f"folder/{kind}/{number}", f"{number}.mp4", label)
        for label, kind in enumerate(("real", "fake"))
        for number in range(10)
    ]
    assert labels_by_part(identity_disjoint_split(records, 0.3), records)["validation"] == {0: 3, 1: 3}


@pytest.mark.parametrize(("validation", "test"), [(1.0, 0.0), (-0.1, 0.0), (0.5, 0.5)])
def test_fractions_out_of_range(validation, test):
    with pytest.raises(ValueError, match="fractions"):
        identity_disjoint_split(pairs(4), validation, test)


def test_unlabelled_and_repeated_videos_are_errors():
    with pytest.raises(DatasetError, match="1 videos have no label: set/x"):
        identity_disjoint_split([*pairs(3), VideoRecord("set/x", "x.mp4")])
    with pytest.raises(DatasetError, match="1 video ids occur twice"):
        identity_disjoint_split([*pairs(3), pairs(1)[0]])


@given(st.integers(2, 6), st.integers(0, 3))
def test_folds_use_each_video_for_validation_once(n_folds, seed):
    records = pairs(7)
    folds = grouped_folds(records, n_folds, seed)
    validated = sorted(video_id for fold in folds for video_id in fold.validation)
    assert validated == sorted(record.video_id for record in records)
    for fold in folds:
        assert sorted((*fold.train, *fold.validation)) == validated
        assert audit(fold, records) == []
        assert len(fold.validation) // 4 in {7 // n_folds, -(-7 // n_folds)}
    assert folds == grouped_folds(records[::-1], n_folds, seed)


def test_more_folds_than_components_is_an_error():
    with pytest.raises(DatasetError, match=r"fold-4-of-4.*3 components"):
        grouped_folds(pairs(3), 4)
    with pytest.raises(ValueError, match="folds is 1, expected 2 or more"):
        grouped_folds(pairs(3), 1)


def test_split_survives_its_file_and_its_hash_names_the_content(tmp_path):
    split = Split("a", ("set/1", "set/2"), ("set/3",))
    assert Split.load(split.save(tmp_path / "split.json")) == split
    assert split.sha256 == Split("b", ("set/2", "set/1"), ("set/3",)).sha256
    assert split.sha256 != Split("a", ("set/1",), ("set/2", "set/3")).sha256
    assert [split.part_of(f"set/{number}") for number in (2, 3, 4)] == ["train", "validation", None]


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"name": "a"}', json.dumps({"name": "a", "train": [], "validation": [], "test": [], "extra": 1})],
)
def test_unreadable_split_file_is_named(tmp_path, text):
    path = tmp_path / "split.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match=r"split\.json.*a split is a JSON object with name, train"):
        Split.load(path)
    with pytest.raises(DatasetError, match=r"absent\.json is missing; a split is"):
        Split.load(tmp_path / "absent.json")


@pytest.mark.real
@pytest.mark.parametrize("fraction", [0.2, 0.25, 0.3])
def test_real_swaps_split_by_the_small_components(shared, fraction):
    # By hand: donors 902, 904, 908 and 909 with their targets are the four small components, 6 real and 7 fake videos;
    # the other six donors share targets and form one component of 37 videos, which must stay in training.
    records = FaceForensics(shared / "data/faceswap").records()
    assert sorted(map(len, identity_components(records))) == [2, 2, 3, 4, 22]
    for seed in range(5):
        split = identity_disjoint_split(records, fraction, seed=seed)
        counts = labels_by_part(split, records)["validation"]
        assert abs(counts.total() - min(fraction * 50, 13)) <= 1
        assert abs(counts[0] - counts[1]) <= 1
        assert audit(split, records) == []


def test_groups_are_linked_directly_and_through_others_and_numbered_in_their_order():
    groups = [("a", "b"), (), ("c",), ("b", "d"), ("e", "c"), (), ("d",)]
    assert linked_groups(groups) == [0, 1, 2, 0, 2, 3, 0]
    assert linked_groups([]) == []
