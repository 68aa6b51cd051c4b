"""Every format gives the same session; what is wrong with one is said by session and field."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from made_sessions import Arrays, image_arrays, movie_arrays, session_of, write

from tutelage.core.errors import ConfigError, DataError, TutelageError, UnknownNameError
from tutelage.core.files import digested_files
from tutelage.core.inputs import Inputs
from tutelage.tasks.neural.config import NeuralData
from tutelage.tasks.neural.sessions import Session
from tutelage.tasks.neural.sessions.read import chosen, read_sessions, sessions_fingerprint


def _same(a: Session, b: Session) -> None:
    assert (a.id, a.animal, a.unit_ids, a.rate_hz) == (b.id, b.animal, b.unit_ids, b.rate_hz)
    assert a.behaviour_names == b.behaviour_names
    for name in ("stimulus", "responses", "valid", "trial", "behaviour"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_npz_and_hdf5_hold_the_same_session(tmp_path: Path) -> None:
    arrays = movie_arrays()
    write(tmp_path / "a", "one", arrays)
    (tmp_path / "b").mkdir()
    with h5py.File(tmp_path / "b" / "one.h5", "w") as file:
        for name, value in arrays.items():
            if value.dtype.kind == "U":
                file[name] = value.astype("S")
            elif name == "rate_hz":
                file.attrs[name] = value
            else:
                file[name] = value
    first, second = (
        read_sessions(NeuralData(root=tmp_path / name), tmp_path / "cache")[0] for name in "ab"
    )
    _same(first, second)
    assert first.id == "ada_s0"
    assert first.animal == "ada"


def test_a_folder_of_the_static_form_needs_no_yaml(tmp_path: Path) -> None:
    write(tmp_path / "v4", "WE_1", image_arrays(1))
    write(tmp_path / "v4", "WE_0", image_arrays(0))
    sessions = read_sessions(NeuralData(root=tmp_path / "v4"), tmp_path / "cache")
    assert [session.id for session in sessions] == ["WE_000000", "WE_000001"]
    assert all(session.static and session.rate_hz == 10 for session in sessions)
    assert sessions[0].stimulus.shape == (40, 1, 8, 8)


def test_the_cache_holds_bytes_as_bytes_and_maps_them(tmp_path: Path) -> None:
    write(tmp_path / "data", "one", movie_arrays())
    data = NeuralData(root=tmp_path / "data")
    session = read_sessions(data, tmp_path / "cache")[0]
    assert session.stimulus.dtype == np.uint8  # float32 would take four times the room
    assert isinstance(session.stimulus, np.memmap)
    kept = next((tmp_path / "cache").rglob("stimulus.npy"))
    assert kept.stat().st_size < session.stimulus.size + 200
    before = kept.stat().st_mtime_ns
    _same(session, read_sessions(data, tmp_path / "cache")[0])
    assert kept.stat().st_mtime_ns == before


def test_fractions_become_bytes_and_whole_numbers_stay(tmp_path: Path) -> None:
    arrays = movie_arrays()
    bytes_ = np.asarray(arrays["stimulus"], np.uint8)
    for given in (bytes_ / 255, bytes_.astype(np.int32), bytes_.astype(np.float64)):
        session = session_of(arrays | {"stimulus": given})
        np.testing.assert_array_equal(session.stimulus, bytes_)


def _at(arrays: Arrays, name: str, place: tuple[int, ...], value: float) -> Arrays:
    changed = np.array(arrays[name], np.float32)
    changed[place] = value
    return arrays | {name: changed}


MOVIE, IMAGES = movie_arrays(), image_arrays()
WRONG: dict[str, tuple[Arrays, str]] = {
    "another T": (MOVIE | {"responses": MOVIE["responses"][:-1]}, "responses: 239 rows"),
    "images, another T": (IMAGES | {"responses": IMAGES["responses"][:-1]}, "responses: 39 rows"),
    "behaviour, another T": (MOVIE | {"behaviour": MOVIE["behaviour"][1:]}, "behaviour: 239 rows"),
    "valid, other units": (MOVIE | {"valid": MOVIE["valid"][:, 1:]}, "valid: shape"),
    "NaN shown": (
        _at(MOVIE, "stimulus", (7, 0, 0, 0), np.nan),
        "stimulus: not a number in frame 7",
    ),
    "NaN in behaviour": (
        _at(MOVIE, "behaviour", (5, 1), np.nan),
        "behaviour: not a number in row 5",
    ),
    "over 255": (_at(MOVIE, "stimulus", (0, 0, 0, 0), 300), "stimulus: values from 0 to 300"),
    "silent": (MOVIE | {"responses": MOVIE["responses"] * [1, 0, 1]}, "no spike of unit n1"),
    "negative": (_at(MOVIE, "responses", (3, 2), -1), "negative count -1 in row 3, unit 2"),
    "names twice": (MOVIE | {"unit_ids": np.array(["a", "b", "a"])}, "unit_ids: 'a' stands twice"),
    "too few names": (MOVIE | {"unit_ids": np.array(["a"])}, "unit_ids: 1 names for 3 units"),
    "no stimulus": ({"responses": MOVIE["responses"]}, "stimulus or images: neither"),
    "colour": (MOVIE | {"stimulus": np.zeros((240, 3, 8, 8), np.uint8)}, "stimulus: shape"),
    "trials apart": (MOVIE | {"trial": np.arange(240) % 2}, "trial: the rows of a trial"),
    "part": (MOVIE | {"part": np.array(["train"] * 239 + ["tset"])}, "unknown part 'tset'"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_bad_file_is_refused_by_session_and_field(tmp_path: Path, wrong: str) -> None:
    arrays, expected = WRONG[wrong]
    path = write(tmp_path / "data", "bad_one", arrays)
    with pytest.raises(DataError) as raised:
        read_sessions(NeuralData(root=tmp_path / "data"), tmp_path / "cache")
    message = str(raised.value)
    assert expected in message
    assert "session " in message
    assert str(path) in message
    assert raised.value.exit_code == 2


def test_fluorescence_may_be_negative_and_silent_units_may_be_dropped() -> None:
    negative = _at(MOVIE, "responses", (3, 2), -1)
    assert session_of(negative, NeuralData(responses="calcium")).responses.min() == -1
    silent = MOVIE | {"responses": MOVIE["responses"] * [1, 0, 1]}
    kept = session_of(silent, NeuralData(silent_units="drop"))
    assert kept.unit_ids == ("n0", "n2")
    assert kept.responses.shape == kept.valid.shape == (240, 2)


def test_missing_responses_are_not_valid_instead_of_zero() -> None:
    session = session_of(_at(MOVIE, "responses", (4, 1), np.nan))
    assert not session.valid[4, 1]
    assert session.responses[4, 1] == 0


def test_an_array_whose_name_is_mistyped_is_refused_not_ignored(tmp_path: Path) -> None:
    arrays = movie_arrays()
    arrays["behavior"] = arrays.pop("behaviour")
    write(tmp_path, "typo", arrays)
    with pytest.raises(DataError, match="'behavior'.*\n.*'behaviour'"):
        read_sessions(NeuralData(root=tmp_path), tmp_path / "cache")


def test_a_file_with_python_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", responses=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="can't be read as NPZ"):
        read_sessions(NeuralData(root=tmp_path), tmp_path / "cache")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"text"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "damaged.npz").write_bytes(content)
    with pytest.raises(DataError, match="can't be read as NPZ"):
        read_sessions(NeuralData(root=tmp_path), tmp_path / "cache")


def test_empty_texts_of_any_number_are_refused_before_they_fill_the_memory(tmp_path: Path) -> None:
    path = write(tmp_path, "one", movie_arrays())
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|S0", "fortran_order": False, "shape": (10**12,)}
    )
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "new.npz", "w") as new:
        for name in old.namelist():
            new.writestr(name, header.getvalue() if name == "unit_ids.npy" else old.read(name))
    with pytest.raises(DataError, match=r"unit_ids\.npy is shorter"):
        read_sessions(NeuralData(root=tmp_path / "new.npz"), tmp_path / "cache")


def test_signals_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    words = movie_arrays()
    words["behaviour"] = np.full((len(words["stimulus"]), 1), "fast")
    path = write(tmp_path, "one", words)
    with pytest.raises(DataError, match="behaviour: holds <U4, not numbers"):
        read_sessions(NeuralData(root=path), tmp_path / "cache")


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("sessions: [/etc/passwd]", "sessions: no YAML file: /etc/passwd"),
        ("file: /etc/passwd", "file: no file of arrays: /etc/passwd"),
        (f"sessions: {'a' * 300}", "no such folder of session files"),
        (f"sessions: [{'a' * 300}.yaml]", "no such session file"),
        (f"file: {'a' * 300}.npz", "too long for any file"),
        ("file: one.npz\narrays: {stimulus: stimulus}\nframe_times: ''", "no array ''"),
        ("file: one.npz\nrate_hz: 1.0e+300\ntarget_rate_hz: 1", "target_rate_hz"),
        ("file: one.npz\nrate_hz: 1.0e+300\ntarget_rate_hz: 1.0e-300", "target_rate_hz"),
    ],
)
def test_a_description_that_can_be_of_no_recording_is_refused(
    tmp_path: Path, said: str, problem: str
) -> None:
    write(tmp_path, "one", movie_arrays())
    (tmp_path / "lab.yaml").write_text(said)
    with pytest.raises(TutelageError, match=problem):
        read_sessions(NeuralData(root=tmp_path / "lab.yaml"), tmp_path / "cache")


def test_behaviour_that_is_configured_must_be_there(tmp_path: Path) -> None:
    write(tmp_path, "one", movie_arrays())
    with pytest.raises(DataError, match=r"session ada_s0: behaviour: 'lick' is configured but"):
        read_sessions(NeuralData(root=tmp_path, behaviour=("lick",)), tmp_path / "cache")
    picked = read_sessions(NeuralData(root=tmp_path, behaviour=("running",)), tmp_path / "cache")
    assert picked[0].behaviour_names == ("running",)
    np.testing.assert_array_equal(picked[0].behaviour, movie_arrays()["behaviour"][:, 1:])


def test_sessions_have_the_signals_that_all_of_them_have(tmp_path: Path) -> None:
    second = movie_arrays(1) | {"behaviour_names": np.array(["running", "speed"])}
    write(tmp_path, "one", movie_arrays())
    write(tmp_path, "two", second)
    one, two = read_sessions(NeuralData(root=tmp_path), tmp_path / "cache")
    assert one.behaviour_names == two.behaviour_names == ("running",)


def test_sessions_are_named_limited_and_left_out(tmp_path: Path) -> None:
    for seed in range(3):
        write(tmp_path, f"file{seed}", movie_arrays(seed))
    data = NeuralData(root=tmp_path, max_sessions=2)
    sessions = read_sessions(data, tmp_path / "cache")
    assert [session.id for session in sessions] == ["ada_s0", "ada_s2"]
    assert chosen(sessions, NeuralData(leave_out=("ada_s0",))) == [False, True]
    assert chosen(sessions, NeuralData(only=("ada_s0",))) == [True, False]
    with pytest.raises(UnknownNameError, match="ada_s0"):
        chosen(sessions, NeuralData(only=("ada_s9",)))
    write(tmp_path, "again", movie_arrays(1))
    with pytest.raises(DataError, match="two sessions are called 'bob_s1'"):
        read_sessions(NeuralData(root=tmp_path), tmp_path / "cache")


def test_the_fingerprint_follows_the_content(tmp_path: Path) -> None:
    write(tmp_path, "one", movie_arrays())
    data = NeuralData(root=tmp_path)
    before = sessions_fingerprint(data)
    assert sessions_fingerprint(data) == before
    write(tmp_path, "one", movie_arrays(5))
    assert sessions_fingerprint(data) != before


def test_an_absent_or_empty_root_is_refused(tmp_path: Path) -> None:
    for root, expected in ((tmp_path / "no", "no such file"), (tmp_path, "no session file")):
        with pytest.raises(DataError, match=expected):
            read_sessions(NeuralData(root=root), tmp_path / "cache")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(TutelageError, match="no known format"):
        read_sessions(NeuralData(root=tmp_path / "notes.txt"), tmp_path / "cache")


# ---- described in YAML


def _described(folder: Path, parent: str, **sessions: str) -> NeuralData:
    folder.mkdir(exist_ok=True)
    (folder / "parent.yaml").write_text(parent)
    (folder / "sessions").mkdir(exist_ok=True)
    for name, text in sessions.items():
        (folder / "sessions" / f"{name}.yaml").write_text(text)
    return NeuralData(root=folder / "parent.yaml")


def test_session_files_lie_on_their_parent(tmp_path: Path) -> None:
    arrays = movie_arrays()
    arrays["movie"] = arrays.pop("stimulus")
    write(tmp_path, "raw", arrays)
    data = _described(
        tmp_path,
        "sessions: sessions\nanimal: eve\narrays: {stimulus: movie, responses: responses}\n",
        one="id: one\nfile: ../raw.npz\nunits: [u002, u000]\n",
        two="id: two\nfile: ../raw.npz\nanimal: adam\narrays: {trial: trial}\nrate_hz: 20\n",
    )
    with digested_files() as seen:
        one, two = read_sessions(data, tmp_path / "cache")
    read = ["parent.yaml", "raw.npz", "sessions/one.yaml", "sessions/two.yaml"]
    assert sorted(Inputs.of(seen, data.root).data) == read
    assert (one.animal, two.animal) == ("eve", "adam")
    assert one.unit_ids == ("u002", "u000")
    np.testing.assert_array_equal(one.responses[:, 1], arrays["responses"][:, 0])
    assert one.trial.max() == 0
    assert two.trial.max() == 11  # `arrays` is merged, not replaced
    assert two.rate_hz == 20
    other = data.model_copy(update={"sessions": tmp_path / "sessions", "max_sessions": 1})
    assert [each.id for each in read_sessions(other, tmp_path / "cache")] == ["one"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id: one\nfille: ../raw.npz\n", "'file'"),
        ("id: one\nfile: ../raw.npz\nrate_hz: fast\n", "rate_hz"),
        ("id: one\nfile: ../raw.npz\narrays: {stimulus: movei}\n", "no array 'movei'"),
        ("id: one\nfile: ../raw.npz\narrays: {stimulos: movie}\n", "unknown name 'stimulos'"),
        ("id: one\nfile: ../raw.npz\nunits: [n9]\n", "no unit 'n9'"),
        ("id: one\nfile: ../absent.npz\n", "session one: file: no such session file"),
        ("id: one\n", "`file` is not set"),
    ],
)
def test_a_wrong_session_file_is_refused_and_named(
    tmp_path: Path, text: str, expected: str
) -> None:
    write(tmp_path, "raw", movie_arrays())
    data = _described(tmp_path, "sessions: sessions\n", one=text)
    with pytest.raises((ConfigError, DataError)) as raised:
        read_sessions(data, tmp_path / "cache")
    assert expected in str(raised.value)
    assert ".yaml" in str(raised.value) or ".npz" in str(raised.value)


def test_an_absent_session_file_is_named(tmp_path: Path) -> None:
    data = _described(tmp_path, "sessions: [sessions/no.yaml]\n")
    with pytest.raises(DataError, match="no such session file: no.yaml"):
        read_sessions(data, tmp_path / "cache")


def test_spikes_are_counted_between_frames_and_pauses_part_the_stimulus(tmp_path: Path) -> None:
    arrays: Arrays = {
        "noise": np.zeros((7, 4, 4), np.uint8),
        "starts": np.array([0.0, 0.2, 0.4, 2.0, 2.2, 2.4]),
        "a_spikes": np.array([2.45, 0.05, 0.1999, 0.2, 0.59, 0.61, 1.0, 2.0]),
        "b_spikes": np.array([2.3, 9.0]),
    }
    write(tmp_path, "raw", arrays)
    text = (
        "id: one\nfile: raw.npz\narrays: {stimulus: noise}\nframe_times: starts\n"
        "spike_times: {a: a_spikes, b: b_spikes}\n"
    )
    (tmp_path / "one.yaml").write_text(text)
    data = NeuralData(root=tmp_path / "one.yaml")
    with pytest.raises(DataError, match="frame_times: 6 times for 7 frames"):
        read_sessions(data, tmp_path / "cache")
    (tmp_path / "one.yaml").write_text(text + "cut_to_shortest: true\n")
    session = read_sessions(data, tmp_path / "cache")[0]
    np.testing.assert_array_equal(session.responses[:, 0], [2, 1, 1, 1, 0, 1])
    np.testing.assert_array_equal(session.responses[:, 1], [0, 0, 0, 0, 1, 0])
    np.testing.assert_array_equal(session.trial, [0, 0, 0, 1, 1, 1])
    assert session.rate_hz == pytest.approx(5)


def test_a_movie_is_reduced_to_a_lower_rate_without_losing_a_spike(tmp_path: Path) -> None:
    arrays = movie_arrays()
    arrays.pop("valid")
    write(tmp_path, "raw", arrays)
    (tmp_path / "one.yaml").write_text("file: raw.npz\ntarget_rate_hz: 5\n")
    session = read_sessions(NeuralData(root=tmp_path / "one.yaml"), tmp_path / "cache")[0]
    assert session.rate_hz == 5
    assert len(session) == 120
    np.testing.assert_array_equal(session.responses.sum(0), arrays["responses"].sum(0))
    np.testing.assert_array_equal(session.stimulus, arrays["stimulus"][::2])
    (tmp_path / "one.yaml").write_text("file: raw.npz\ntarget_rate_hz: 4\n")
    with pytest.raises(DataError, match="target_rate_hz: no whole part of 10"):
        read_sessions(NeuralData(root=tmp_path / "one.yaml"), tmp_path / "cache")
