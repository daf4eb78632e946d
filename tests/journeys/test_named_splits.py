"""Splits by named rules, and what the audit finds in them."""

from terminal import stf

from stf_mamba.datasets.splits import Split


def test_official_split_is_the_one_that_the_run_was_trained_on(home, tmp_path):
    lists = home.corpus.ffpp_root / "splits"
    written = stf("split", "official", "--clips", home.clips, "--lists", lists, "--out", tmp_path / "s.json")
    assert written.exit_code == 0, written.stderr
    assert Split.load(tmp_path / "s.json") == Split.load(home.run / "split.json")


def test_identity_split_passes_the_audit(home, tmp_path):
    written = stf(
        "split", "identity", "--clips", home.clips, "--validation-fraction", 0.4, "--out", tmp_path / "s.json"
    )
    assert written.exit_code == 0, written.stderr
    split = Split.load(tmp_path / "s.json")
    assert (len(split.train), len(split.validation)) == (8, 4)
    audited = stf("audit", "--clips", home.clips, "--split", tmp_path / "s.json")
    assert (audited.exit_code, "0 leaks" in audited.stdout) == (0, True)


def test_the_reports_sampling_says_what_it_needs(home, tmp_path):
    out = tmp_path / "s.json"
    without_test = stf("split", "report", "--clips", home.clips, "--out", out)
    assert without_test.exit_code == 2
    assert "--test-dataset" in without_test.error
    too_small = stf("split", "report", "--clips", home.clips, "--test-dataset", "miniature-ffpp-c23", "--out", out)
    assert too_small.exit_code == 1
    assert "too small for the report's sampling" in too_small.error
    no_lists = stf("split", "official", "--clips", home.clips, "--out", out)
    assert (no_lists.exit_code, "--lists" in no_lists.error) == (2, True)
    assert not out.exists()
