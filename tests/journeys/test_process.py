"""The command line in a process of its own says and returns what it does within the tests' own."""

from terminal import stf, stf_process


def test_a_result_and_its_exit_code(home):
    command = ("audit", "--clips", home.clips, "--split", home.run)
    alone = stf_process(*command)
    assert alone.exit_code == 0
    assert "0 leaks" in alone.stdout
    assert alone == stf(*command)


def test_a_refusal_and_its_exit_code(home, tmp_path):
    command = ("evaluate", home.run, "--clips", home.clips, "--part", "all", "--out", tmp_path / "all.csv")
    alone = stf_process(*command)
    assert alone.exit_code == 1
    assert "8 of 12 videos" in alone.error
    assert alone == stf(*command)
