"""People, sources and files that two parts of a split share."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from stf_mamba.core.errors import DatasetError, LeakError, first_few
from stf_mamba.core.records import JsonRecord, VideoRecord
from stf_mamba.datasets.splits import KNOWN_SHARED_SOURCES, PARTS, Split, records_by_id


@dataclass(frozen=True)
class Leak(JsonRecord):
    """Something that two parts of a split share.

    Attributes:
        kind: ``target``: a person filmed in two parts; ``source``: a person filmed or put in in two parts, filmed in at
            most one; ``youtube_source``: FF++ sequences cut from one YouTube video; ``file``: equal bytes under two
            ids; ``duplicate``: a video id listed twice.
        value: the person, the sequences, the file's sha256, or the video id.
        parts: the parts concerned.
        video_ids: the videos concerned, sorted.
    """

    kind: str
    value: str
    parts: tuple[str, ...]
    video_ids: tuple[str, ...]


def audit(split: Split, records: Iterable[VideoRecord], sha256_by_id: Mapping[str, str] | None = None) -> list[Leak]:
    """Everything that two parts of the split share, ordered by kind and value; an empty list is what one wants.

    Args:
        split: the split to look at.
        records: at least the videos of the split; others are left out of the audit.
        sha256_by_id: hashes of the files; without it those that the records carry are compared.

    Raises:
        DatasetError: the split names a video that the records do not have, or two records share an id.
    """
    by_id = records_by_id(records)
    unknown = [video_id for video_ids in split.parts.values() for video_id in video_ids if video_id not in by_id]
    if unknown:
        raise DatasetError(
            f"split {split.name!r} names {len(unknown)} videos that the data set does not have: {first_few(unknown)}. "
            "Load the data set, root and methods that the split was made from, or make a new split."
        )
    leaks = [
        *_shared_people(split, by_id),
        *_shared_youtube_sources(split, by_id),
        *_shared_files(split, by_id, sha256_by_id or {}),
        *_repeated_ids(split),
    ]
    return sorted(leaks, key=lambda leak: (leak.kind, leak.value))


def require_disjoint(
    split: Split,
    records: Iterable[VideoRecord],
    sha256_by_id: Mapping[str, str] | None = None,
    tolerated: Collection[str] = (),
) -> None:
    """Raises LeakError if the audit finds anything, kinds in ``tolerated`` excepted.

    A published protocol that leaks by its own rules (``protocols.PUBLISHED_LEAKS``) can be run as it was published by
    naming those kinds: the caller then says so beside the number.
    """
    leaks = [leak for leak in audit(split, records, sha256_by_id) if leak.kind not in tolerated]
    if leaks:
        counts = Counter(leak.kind for leak in leaks)
        examples = [f"{leak.kind} {leak.value} ({', '.join(leak.parts)})" for leak in leaks]
        raise LeakError(
            f"split {split.name!r} leaks: {', '.join(f'{count} {kind}' for kind, count in sorted(counts.items()))}; "
            f"for example {first_few(examples, shown=3)}. A model would be tested on what it was trained on. Use "
            "identity_disjoint_split, or take these videos out of one of the parts."
        )


def _shared_people(split: Split, by_id: Mapping[str, VideoRecord]) -> Iterable[Leak]:
    filmed: dict[str, set[str]] = defaultdict(set)
    videos: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for part, video_ids in split.parts.items():
        for video_id in video_ids:
            for position, person in enumerate(dict.fromkeys(by_id[video_id].identities)):
                videos[person][part].append(video_id)
                if position == 0:
                    filmed[person].add(part)
    for person, by_part in videos.items():
        if len(by_part) > 1:
            yield _leak("target" if len(filmed[person]) > 1 else "source", person, by_part)


def _shared_youtube_sources(split: Split, by_id: Mapping[str, VideoRecord]) -> Iterable[Leak]:
    group_of = {person: group for group in KNOWN_SHARED_SOURCES for person in group}
    videos: dict[tuple[str, ...], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    present: set[str] = set()
    for part, video_ids in split.parts.items():
        for video_id in video_ids:
            for person in by_id[video_id].identities:
                if person in group_of:
                    videos[group_of[person]][part].append(video_id)
                    present.add(person)
    for group, by_part in videos.items():
        # One sequence in two parts is a leak of that person; here two sequences meet across parts.
        sequences = [person for person in group if person in present]
        if len(by_part) > 1 and len(sequences) > 1:
            yield _leak("youtube_source", "+".join(sequences), by_part)


def _shared_files(split: Split, by_id: Mapping[str, VideoRecord], sha256_by_id: Mapping[str, str]) -> Iterable[Leak]:
    videos: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for part, video_ids in split.parts.items():
        for video_id in video_ids:
            sha256 = sha256_by_id.get(video_id, by_id[video_id].sha256)
            if sha256 is not None:
                videos[sha256][part].append(video_id)
    for sha256, by_part in videos.items():
        if len(by_part) > 1 and len({video_id for ids in by_part.values() for video_id in ids}) > 1:
            yield _leak("file", sha256, by_part)


def _repeated_ids(split: Split) -> Iterable[Leak]:
    listed = [(video_id, part) for part, video_ids in split.parts.items() for video_id in video_ids]
    counts = Counter(video_id for video_id, _ in listed)
    for video_id in [video_id for video_id, count in counts.items() if count > 1]:
        yield _leak("duplicate", video_id, {part: [video_id] for listed_id, part in listed if listed_id == video_id})


def _leak(kind: str, value: str, by_part: Mapping[str, Iterable[str]]) -> Leak:
    video_ids = sorted({video_id for ids in by_part.values() for video_id in ids})
    return Leak(kind, value, tuple(part for part in PARTS if part in by_part), tuple(video_ids))
