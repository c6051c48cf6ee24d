"""Code is kept only where others can change neither it nor a directory above it."""

import os
import pickle
from pathlib import Path

import pytest

from scenarios import machine_code
from scenarios.compiled import compiled
from scenarios.private_places import (
    NotPrivateError,
    check_private,
    private_directory,
    temporary_directory,
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs permission bits")


def test_missing_directories_are_created_for_the_user_alone(tmp_path):
    before = os.umask(0o777)
    try:
        made = private_directory(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert [each.stat().st_mode & 0o777 for each in (made, made.parent)] == [0o700, 0o700]


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o722])
def test_a_directory_that_others_can_write_is_refused(tmp_path, mode):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b").chmod(mode)
    with pytest.raises(NotPrivateError, match="others can write"):
        private_directory(tmp_path / "a" / "b")


def test_a_directory_above_must_not_let_others_replace_it(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a").chmod(0o777)
    for place in ("b", "new"):
        with pytest.raises(NotPrivateError, match="others can write"):
            private_directory(tmp_path / "a" / place)
    (tmp_path / "a").chmod(0o1777)  # sticky, as the directory of temporary files
    assert private_directory(tmp_path / "a" / "b") == tmp_path.resolve() / "a" / "b"


def test_a_place_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotPrivateError, match="file is not a directory"):
        private_directory(tmp_path / "file" / "cache")


def test_a_link_into_a_place_of_others_is_refused(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "mine").symlink_to(tmp_path / "open")
    with pytest.raises(NotPrivateError):
        private_directory(tmp_path / "mine")
    with pytest.raises(NotPrivateError):
        check_private(tmp_path / "mine")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_a_directory_of_another_user_is_refused(tmp_path):
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 12345, 12345)
    with pytest.raises(NotPrivateError, match="belongs to another user"):
        private_directory(tmp_path / "theirs")


@pytest.fixture
def home(monkeypatch, tmp_path):
    """Return a function that says where code is kept, given the variable's value."""

    def chosen(value):
        machine_code.home.cache_clear()
        monkeypatch.setenv(machine_code.VARIABLE, str(value))
        return machine_code.home()

    yield chosen
    machine_code.home.cache_clear()


def test_a_place_of_others_is_replaced_by_a_temporary_one_in_one_sentence(home, tmp_path, capsys):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    assert home(tmp_path / "mine") == tmp_path.resolve() / "mine"
    assert capsys.readouterr().err == ""
    aside = home(tmp_path / "open")
    assert aside == temporary_directory()
    assert aside.stat().st_mode & 0o777 == 0o700
    [sentence] = capsys.readouterr().err.splitlines()
    assert f"{machine_code.VARIABLE}={tmp_path}/open: others can write" in sentence
    assert os.environ[machine_code.VARIABLE] == str(aside), "for the processes that it starts"


def test_an_unfit_place_is_named_in_one_printable_sentence(home, tmp_path, capsys):
    place = tmp_path / "a\nb\x1b"
    place.touch()
    assert home(place) == temporary_directory()
    [sentence] = capsys.readouterr().err.splitlines()
    assert f"{machine_code.VARIABLE}={tmp_path}/a\\nb\\x1b: Not a directory; set" in sentence


def test_a_user_without_a_home_directory_has_a_temporary_place(home, monkeypatch, capsys):
    def none(*_, **__):
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr(machine_code, "user_cache_path", none)
    assert home("") == temporary_directory()
    assert "no home directory" in capsys.readouterr().err


def double(x):
    """Return twice a number; the tests compile it."""
    return 2 * x


class Evil:
    """Something that writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_file_that_others_can_write_is_not_read_as_code(home, tmp_path):
    cache, ran = home(tmp_path / "cache"), tmp_path / "ran"
    assert compiled(double)(2) == 4
    files = list(cache.glob("*/*double*.nb[ic]"))
    assert [each.stat().st_mode & 0o777 for each in files] == [0o600] * 2
    for each in files:
        each.write_bytes(pickle.dumps(Evil(ran)))
        each.chmod(0o666)
    assert compiled(double)(2) == 4
    assert not ran.exists()


def test_a_damaged_file_is_compiled_anew(home, tmp_path):
    cache = home(tmp_path / "cache")
    assert compiled(double)(3) == 6
    for each in cache.glob("*/*double*.nb[ic]"):
        each.write_bytes(b"damaged")
    assert compiled(double)(3) == 6
