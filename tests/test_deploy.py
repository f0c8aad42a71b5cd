"""The files of deploy/: what they copy exists, what they start parses, and nginx accepts its configuration."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from dashboard import __main__ as launcher
from tests.conftest import ROOT
from tests.packaging import PACKAGES, SAMPLE

DEPLOY = ROOT / "deploy"


@pytest.fixture
def dockerfile() -> dict[str, list[str]]:
    """Instruction -> what follows it, each time that it occurs."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            word, rest = line.split(maxsplit=1)
            found.setdefault(word, []).append(rest)
    return found


def parse(words: list[str], tmp_path: Path) -> object:
    """The arguments of `seglib dashboard`, with the container's folders at another place."""
    assert words[0] == "dashboard"
    return launcher.parser().parse_args([word.replace("/photos", str(tmp_path)) for word in words[1:]])


def test_the_image_has_all_that_a_wheel_is_built_from(dockerfile):
    copied = [word for line in dockerfile["COPY"] for word in line.split()[:-1]]
    assert all((ROOT / name).exists() for name in copied)
    assert {*PACKAGES, SAMPLE, "pyproject.toml", "setup.py", "requirements.txt", "README.md", "LICENSE"} == set(copied)
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {f"!{name}" for name in copied} == {word for word in ignored if word.startswith("!")}


def test_the_container_starts_the_dashboard_as_another_user_than_root(dockerfile, tmp_path):
    arguments = parse(json.loads(dockerfile["CMD"][0]), tmp_path)
    assert (arguments.host, str(arguments.store), arguments.port) == ("0.0.0.0", "/store", 8501)
    assert json.loads(dockerfile["ENTRYPOINT"][0]) == ["seglib"]
    assert dockerfile["USER"] == ["seglib"]
    assert json.loads(dockerfile["VOLUME"][0]) == ["/photos", "/store"]
    assert dockerfile["EXPOSE"] == ["8501"]
    (install,) = (line for line in dockerfile["RUN"] if '".[' in line)
    extras = re.search(r"\[([\w,]+)\]", install)[1].split(",")
    assert all(re.search(rf"^{extra} = \[", (ROOT / "pyproject.toml").read_text(), re.M) for extra in extras)


def test_only_the_proxy_can_be_reached_from_outside(tmp_path):
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]
    arguments = parse(services["seglib"]["command"], tmp_path)
    (name,) = arguments.allow_host
    configuration = (DEPLOY / "nginx.conf").read_text()
    assert f"server_name {name};" in configuration
    assert f"proxy_pass http://seglib:{arguments.port};" in configuration
    assert "auth_basic_user_file /etc/nginx/users;" in configuration
    mounted = {target.split(":")[1] for target in services["proxy"]["volumes"]}
    assert {"/etc/nginx/users", "/etc/nginx/tls.pem", "/etc/nginx/tls.key"} < mounted


def test_the_service_starts_the_dashboard(tmp_path):
    (line,) = re.findall(r"^ExecStart=(.*)$", (DEPLOY / "seglib.service").read_text(), re.M)
    program, *words = shlex.split(line)
    assert Path(program).name == "seglib"
    assert parse(words, tmp_path).host == "127.0.0.1"


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("nginx") and shutil.which("openssl")), reason="nginx or openssl is not installed")
def test_nginx_accepts_the_proxys_configuration(tmp_path):
    key = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    subprocess.run(
        [*key, "-keyout", tmp_path / "tls.key", "-out", tmp_path / "tls.pem"], check=True, capture_output=True
    )
    (tmp_path / "users").write_text("me:{PLAIN}x\n")
    server = (
        (DEPLOY / "nginx.conf").read_text().replace("/etc/nginx", str(tmp_path)).replace("//seglib:", "//127.0.0.1:")
    )
    whole = f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; {server} }}"
    (tmp_path / "nginx.conf").write_text(whole)
    done = subprocess.run(["nginx", "-t", "-c", tmp_path / "nginx.conf"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
