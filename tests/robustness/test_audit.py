from tests.robustness.audit import needed, verdict

FOUND = {"name": "Pillow", "version": "9.0", "vulns": [{"id": "CVE-1", "fix_versions": ["9.1"]}]}


def test_what_is_needed_is_what_comes_with_the_package():
    assert {"samref", "torch", "pillow", "numpy", "hydra-core", "omegaconf"} <= needed()
    assert "pytest" not in needed()


def test_only_a_finding_in_something_needed_fails():
    assert verdict([FOUND], "", {"pillow"})[1] == 1
    assert "CVE-1, fixed in 9.1" in verdict([FOUND], "", {"pillow"})[0]
    assert verdict([FOUND], "", set())[1] == 0
    assert verdict([{**FOUND, "vulns": []}], "", {"pillow"}) == (
        "audit: 1 packages, 0 with known vulnerabilities, 0 of them needed",
        0,
    )


def test_a_database_out_of_reach_is_said_and_fails_nothing():
    skipped = [{"name": "pillow", "skip_reason": "Dependency not found on PyPI and could not be audited"}]
    for text, code in (verdict([], "no answer in time", set()), verdict(skipped, "", set())):
        assert code == 0
        assert "cannot be reached" in text
