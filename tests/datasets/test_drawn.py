"""What a program drew is known by what lies beside it, under whatever name."""

import shutil
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from stf_mamba.cli.app import app
from stf_mamba.clips.preparation import manifest_name, prepare
from stf_mamba.clips.records import ClipSettings
from stf_mamba.clips.store import ClipStore
from stf_mamba.core.errors import UsageError
from stf_mamba.core.records import VideoRecord
from stf_mamba.datasets.celebdf import CelebDF
from stf_mamba.datasets.drawn import is_drawn
from stf_mamba.datasets.faceforensics import FaceForensics
from stf_mamba.datasets.folder import CsvList, Folder
from stf_mamba.datasets.miniature.corpus import MiniatureSettings, make_miniature
from stf_mamba.datasets.protocols import official_ffpp_split


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    settings = replace(MiniatureSettings.tiny(), n_frames=2)
    return make_miniature(tmp_path_factory.mktemp("corpus"), settings)


def test_the_miniatures_data_sets_and_people_have_names_of_their_own(corpus):
    ffpp, celebdf = FaceForensics(corpus.ffpp_root).records(), CelebDF(corpus.celebdf_root, "all").records()
    assert (manifest_name(ffpp), manifest_name(celebdf)) == ("miniature-ffpp-c23", "miniature-celebdf")
    assert ffpp[-1].video_id.startswith("miniature-ffpp/real/")
    assert all(is_drawn(name) for record in ffpp + celebdf for name in (record.video_id, *record.identities))
    split = official_ffpp_split(ffpp, corpus.ffpp_root / "splits")
    assert sorted(map(len, split.parts.values())) == [4, 4, 4]


def test_copies_links_lists_and_unfinished_corpora_are_known(corpus, tmp_path):
    shutil.copytree(corpus.celebdf_root, tmp_path / "copy")
    (tmp_path / "linked").mkdir()
    for name, folder in (("real", "Celeb-real"), ("fake", "Celeb-synthesis")):
        (tmp_path / "linked" / name).symlink_to(corpus.celebdf_root / folder)
    filmed = tmp_path / "filmed.mp4"
    filmed.touch()
    (tmp_path / "list.csv").write_text(f"path,label,identity\n{corpus.held_out},1,a\n{filmed},0,a\n")
    assert all(is_drawn(record.video_id) for record in CelebDF(tmp_path / "copy", "all").records())
    assert {record.dataset for record in Folder(tmp_path / "linked").records()} == {"miniature-folder"}
    by_name = {record.path.name: record for record in CsvList(tmp_path / "list.csv").records()}
    assert (by_name["manipulated.mp4"].dataset, by_name["filmed.mp4"].dataset) == ("miniature-csv", "csv")
    assert by_name["manipulated.mp4"].identities == ("miniature-csv:a",)
    (tmp_path / "copy" / "DRAWN.txt").rename(tmp_path / "miniature-unfinished.json")
    assert all(is_drawn(record.video_id) for record in CelebDF(tmp_path / "copy", "all").records())


def test_no_name_hides_drawings_or_pretends_them(corpus, tmp_path):
    drawn = FaceForensics(corpus.ffpp_root).records()
    store = ClipStore.create(tmp_path / "clips", ClipSettings())
    with pytest.raises(UsageError, match="hides that these videos were drawn by a program; call them miniature-mine"):
        prepare(drawn, store, "mine")
    with pytest.raises(UsageError, match="only videos that a program drew are called miniature-"):
        prepare([VideoRecord("csv/real/a", tmp_path / "a.mp4", 0)], store, "miniature-mine")
    assert store.manifests() == []


def test_the_verb_takes_no_name_that_hides_drawings(corpus, tmp_path):
    (tmp_path / "list.csv").write_text(f"path,label\n{corpus.held_out},1\n")
    arguments = ["prepare", "--dataset", "csv", "--root", str(tmp_path / "list.csv"), "--out", str(tmp_path / "clips")]
    refused = CliRunner().invoke(app, [*arguments, "--name", "mine"])
    assert refused.exit_code == 2
    assert "drawn by a program" in refused.output
    assert not (tmp_path / "clips").exists()
