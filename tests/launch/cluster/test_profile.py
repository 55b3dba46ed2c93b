"""Do profiles and flags say what a job asks of the cluster, and is every wrong one told with its line?"""

from pathlib import Path

import pytest

from lightning_cv.errors import UserError
from lightning_cv.launch.cluster.keys import KEYS
from lightning_cv.launch.cluster.profile import Resources, read_resources


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def write(text: str, path: str = "cluster.yaml") -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_every_key_is_a_field_with_the_same_name():
    assert {key.field for key in KEYS} == set(Resources.__dataclass_fields__)


def test_without_anything_the_cluster_decides():
    assert read_resources({}, None) == Resources()


def test_flags_win_over_the_profile_and_lines_of_set_up_add_up():
    write("default: {partition: gpu, time: 12:00:00, memory: 64GB, cpus: 8, setup: [module load cuda]}\n")
    asked = read_resources({"time": "30", "setup": ["export A=1"], "gpu": True}, None)
    assert (asked.partition, asked.time, asked.memory, asked.cpus, asked.gpu) == ("gpu", "30", "64G", 8, True)
    assert asked.setup == ("module load cuda", "export A=1")


def test_the_working_folder_wins_over_the_users_own_file(tmp_path):
    write("default: {partition: mine}\nbig: {nodes: 4}\n", "home/.config/lightning_cv/cluster.yaml")
    assert read_resources({}, None).partition == "mine"
    assert read_resources({}, "big").nodes == 4
    write("default: {partition: ours}\n")
    assert read_resources({}, None).partition == "ours"


def test_another_file_is_named_with_or_without_a_profile():
    write("default: {cpus: 1}\nlarge: {cpus: 2}\n", "there/a.yaml")
    assert read_resources({}, "there/a.yaml").cpus == 1
    assert read_resources({}, "there/a.yaml:large").cpus == 2


def test_times_and_words_of_yaml_are_texts():
    """`12:00:00` and `1-00:00:00` are what SLURM calls so, whatever numbers YAML 1.1 would see in the first."""
    write("default: {time: 12:00:00}\nday: {time: 1-00:00:00}\nshort: {time: 30}\nshell: {prefix: a 'b c', qos: 5}\n")
    assert [read_resources({}, name).time for name in (None, "day", "short")] == ["12:00:00", "1-00:00:00", "30"]
    assert read_resources({}, "shell").prefix == ("a", "b c")
    assert read_resources({}, "shell").qos == "5"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "default:\n  partion: gpu\n",
            "cluster.yaml:2: default.partion: is no key of a profile; did you mean partition",
        ),
        ("default:\n  nodes: none\n", "cluster.yaml:2: default.nodes: 'none' given, allowed: whole numbers from 1 to"),
        ("default:\n  nodes: true\n", "cluster.yaml:2: default.nodes: true given, allowed: whole numbers from 1"),
        ("default:\n  gpu: 1\n", "cluster.yaml:2: default.gpu: 1 given, allowed: true or false"),
        ("default:\n  memory: much\n", "cluster.yaml:2: default.memory: 'much' given, allowed: a size such as 64G"),
        ("default:\n  time: soon\n", "cluster.yaml:2: default.time: 'soon' given, allowed: a time above 0 such as 30"),
        ('default:\n  account: "a\\nb"\n', "cluster.yaml:2: default.account: 'a\\nb' given, allowed: text in one line"),
        ("default:\n  setup: [a, 'b\n\n    c']\n", "cluster.yaml:2: default.setup: "),
        (
            "partition: gpu\n",
            "cluster.yaml:1: partition: 'gpu' given; it is a key of a profile: default: {partition",
        ),
        ("default: gpu\n", "cluster.yaml:1: default: 'gpu' given; a profile is a mapping, e.g. default: {partition:"),
    ],
)
def test_a_mistake_in_a_profile_is_told_with_file_and_line(text, said):
    write(text)
    with pytest.raises(UserError) as caught:
        read_resources({}, None)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "profile", "said"),
    [
        ({"nodes": "0"}, None, "--nodes: '0' given, allowed: whole numbers from 1"),
        ({"time": "x"}, None, "--time: 'x' given, allowed: a time above 0"),
        ({"prefix": "a 'b"}, None, '--prefix: "a \'b" given, allowed: words as in a shell, in one line'),
        ({"container": "i", "prefix": "p"}, None, "--container and --prefix exclude each other"),
        ({"container-mounts": "/a:/a"}, None, "--container-mounts says what a container sees; give --container"),
        ({}, "large", "--profile large: neither a file, nor is there cluster.yaml nor "),
        ({}, "none.yaml", "--profile none.yaml: no such file"),
    ],
)
def test_a_wrong_flag_is_told_with_its_name(flags, profile, said):
    with pytest.raises(UserError) as caught:
        read_resources(flags, profile)
    assert str(caught.value).startswith(said)


def test_an_unknown_profile_is_told_with_the_known_ones():
    write("default: {}\nlarge: {nodes: 2}\n")
    with pytest.raises(UserError, match=r"cluster.yaml: has no profile lage; did you mean large\?"):
        read_resources({}, "lage")
