"""The files for SLURM and Kubernetes: they are whole, and what they start is a command of this package."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tiny_family import write_family

from deepseq_nb import __version__
from deepseq_nb.cli.main import _parser
from deepseq_nb.model.runs import load_run

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "book" / "workshop" / "cluster"
TRAIN = "--preset quick --steps 3 --batch-size 8 --device cpu --shallow off".split()


def script(name, *words, **more):
    """A batch script run by bash, as SLURM would on a node."""
    environment = {name: value for name, value in os.environ.items() if "SLURM" not in name}
    environment |= {"PYTHONPATH": str(ROOT), "DEEPSEQ": f"{sys.executable} -m deepseq_nb"}
    return subprocess.run(
        ["bash", str(FILES / name), *map(str, words)],
        env=environment | {name: str(value) for name, value in more.items()},
        capture_output=True,
        text=True,
        timeout=500,
    )


@pytest.mark.parametrize("name", ["array.slurm", "ray.slurm"])
def test_a_batch_script_is_bash_and_says_what_it_needs(name):
    subprocess.run(["bash", "-n", str(FILES / name)], check=True)
    text = (FILES / name).read_text()
    assert text.startswith("#!/bin/bash\n#SBATCH "), "SLURM stops reading at the first command"
    options = re.findall(r"^#SBATCH (--[a-z-]+)=\S+$", text, re.M)
    assert {"--time", "--mem", "--cpus-per-task"} <= {*options}
    assert len(options) == text.count("#SBATCH"), "an option that is not NAME=VALUE"
    done = script(name)
    assert done.returncode == 2 and done.stderr.startswith(f"{name}: expected ")


def test_a_task_of_the_array_trains_its_family_and_is_done_the_second_time(tmp_path):
    places = [tmp_path / "one.a2m", tmp_path / "second family.a2m"]
    for seed, place in enumerate(places, 1):
        write_family(place, seed=seed)
    families = tmp_path / "families.txt"
    families.write_text("".join(f"{place}\n" for place in places))
    given = families, tmp_path / "runs", *TRAIN
    for task, place in enumerate(places, 1):
        done = script("array.slurm", *given, SLURM_ARRAY_TASK_ID=task)
        assert done.returncode == 0, done.stderr
        run = load_run(tmp_path / "runs" / place.stem)
        assert run.steps == 3 and run.about["source"] == str(place)
    again = script("array.slurm", *given, SLURM_ARRAY_TASK_ID=2)
    assert again.returncode == 0 and "nothing is left to do" in again.stdout
    beyond = script("array.slurm", *given, SLURM_ARRAY_TASK_ID=3)
    assert beyond.returncode == 2 and beyond.stderr.endswith("families.txt has no line 3\n")


FAKES = {
    "scontrol": 'echo node1; echo node2; echo node3; [ "$3" = "node[1-3]" ]',
    "srun": 'while [ "${1#--}" != "$1" ]; do case $1 in --nodelist=*) at=${1#*=};; esac; shift; done\nAT=$at exec "$@"',
    "hostname": 'echo "127.0.0.1 10.0.0.1"',
    "ray": 'echo "$AT ray $*" >> "$SAID"\ncase $* in *--head*) exec "$PYTHON" -c "$LISTEN";; esac',
    "deepseq": 'sleep 1; echo "deepseq $*" >> "$SAID"',
}
# answers once, which is when the script asks, and ends
LISTEN = """
import os, socket
place = ("127.0.0.1", int(os.environ["SLURM_JOB_ID"]) % 20000 + 20000)
with socket.create_server(place) as server:
    server.settimeout(300)
    server.accept()
"""


def played(tmp_path, listen, **more):
    """ray.slurm in a job of three nodes whose first one runs `listen`, and the file of what was said."""
    (tmp_path / "bin").mkdir()
    for name, text in FAKES.items():
        fake = tmp_path / "bin" / name
        fake.write_text(f"#!/bin/bash\n{text}\n")
        fake.chmod(0o755)
    said = tmp_path / "said"
    more |= {"SLURM_JOB_NODELIST": "node[1-3]", "SLURM_JOB_ID": 31234, "SLURM_CPUS_PER_TASK": 7}
    more |= {"SAID": said, "PYTHON": sys.executable, "LISTEN": listen, "DEEPSEQ": "deepseq"}
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = script("ray.slurm", "grid.toml", "runs/grid", "--device", "cpu", PATH=path, **more)
    return done, said


def test_ray_is_started_on_every_node_and_the_grid_goes_there(tmp_path):
    """SLURM and Ray are played by scripts that write down what they are told."""
    done, said = played(tmp_path, LISTEN)
    assert done.returncode == 0, done.stderr
    lines = said.read_text().splitlines()
    start = "ray start --block --num-cpus=7"
    assert lines[0] == f"node1 {start} --head --node-ip-address=127.0.0.1 --port=31234"
    assert sorted(lines[1:3]) == [f"node{n} {start} --address=127.0.0.1:31234" for n in (2, 3)]
    command = "experiments grid.toml --out runs/grid --cluster 127.0.0.1:31234 --resume"
    assert lines[3] == f"deepseq {command} --device cpu"
    assert _parser(command.split()).parse_args(command.split()).resume


def test_a_first_node_that_does_not_answer_ends_the_job(tmp_path):
    done, said = played(tmp_path, "pass", RAY_TRIES=1)
    assert done.returncode == 1
    assert done.stderr.endswith("Ray does not answer on node1, 127.0.0.1:31234\n")
    assert "experiments" not in said.read_text()


@pytest.fixture(scope="module")
def kubernetes():
    """The objects of the file by kind."""
    found = list(yaml.safe_load_all((FILES / "raycluster.yaml").read_text()))
    return {one["kind"]: one for one in found}


def test_the_objects_are_those_of_kuberay(kubernetes):
    versions = {kind: one["apiVersion"] for kind, one in kubernetes.items()}
    ours = dict.fromkeys(("RayCluster", "RayJob"), "ray.io/v1")
    assert versions == ours | {"PersistentVolumeClaim": "v1"}
    name = kubernetes["RayCluster"]["metadata"]["name"]
    assert kubernetes["RayJob"]["spec"]["clusterSelector"] == {"ray.io/cluster": name}


def test_every_pod_has_the_image_and_those_of_ray_the_volume(kubernetes):
    cluster = kubernetes["RayCluster"]["spec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    pods = [group["template"]["spec"] for group in groups]
    job = kubernetes["RayJob"]["spec"]["submitterPodTemplate"]["spec"]
    images = {box["image"] for pod in (*pods, job) for box in pod["containers"]}
    assert images == {f"deepseq-nb-ray:{__version__}"}
    claim = kubernetes["PersistentVolumeClaim"]["metadata"]["name"]
    for pod in pods:
        (volume,), (box,) = pod["volumes"], pod["containers"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim
        assert box["volumeMounts"] == [{"name": volume["name"], "mountPath": "/runs"}]
        assert box["resources"]["limits"] == box["resources"]["requests"]
    image = (FILES / "Dockerfile").read_text()
    assert f"FROM rayproject/ray:{cluster['rayVersion']}-py311" in image
    assert f"deepseq-nb-ray:{__version__} ." in image


def test_the_job_is_a_command_of_this_package(kubernetes):
    program, *words = shlex.split(kubernetes["RayJob"]["spec"]["entrypoint"])
    args = _parser(words).parse_args(words)
    assert program == "deepseq" and args.command == "experiments"
    assert args.cluster == "auto" and args.resume
    assert [*map(str, (args.grid, args.out))] == ["/runs/grid.toml", "/runs/grid"]
