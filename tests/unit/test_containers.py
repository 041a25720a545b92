"""What docker-compose.yml, Dockerfile and .dockerignore promise, as far as it can be read from them."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]  # untyped where the stubs are not installed yet

from entrypoints.cli import whole_app
from entrypoints.settings import Settings, read_settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PAGE = (ROOT / "docs" / "containers.md").read_text()

OURS = ["api", "dispatcher", "projector", "worker"]
SERVERS = ["db", "mail", "redis"]
ONE_SHOTS = ["migrate", "output"]


def test_these_are_the_services() -> None:
    assert sorted(SERVICES) == sorted([*OURS, *SERVERS, *ONE_SHOTS])


@pytest.mark.parametrize("name", OURS + SERVERS)
def test_a_service_that_stays_has_a_health_check_and_starts_again(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert {"interval", "timeout", "retries"} <= check.keys()
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", ONE_SHOTS)
def test_a_service_that_ends_is_not_started_again(name: str) -> None:
    assert SERVICES[name]["restart"] == "no"
    assert "healthcheck" not in SERVICES[name]


@pytest.mark.parametrize("name", OURS)
def test_a_process_of_ours_is_checked_by_its_own_health_check(name: str) -> None:
    assert SERVICES[name]["command"] == [name]
    assert SERVICES[name]["healthcheck"]["test"] == ["CMD", "jobledger", "health", name]


@pytest.mark.parametrize("name", [*OURS, "migrate"])
def test_each_command_is_one_of_the_command_line(name: str) -> None:
    assert "entrypoint" not in SERVICES[name]
    commands = [SERVICES[name]["command"]]
    if name in OURS:
        commands.append(SERVICES[name]["healthcheck"]["test"][2:])
    for tokens in commands:
        whole_app().parse_args(tokens)  # raises for what it does not know


def test_ports_are_published_on_the_loopback_address_only_and_those_of_the_servers_not_at_all() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "api": ["127.0.0.1:${API_PORT:-3000}:3000"],
        "mail": ["127.0.0.1:${MAIL_PORT:-1025}:1025", "127.0.0.1:${MAIL_UI_PORT:-8025}:8025"],
    }


@pytest.mark.parametrize("name", OURS)
def test_a_container_is_given_longer_to_stop_than_its_jobs(name: str) -> None:
    grace = re.fullmatch(r"\$\{CONTAINER_STOP_GRACE_PERIOD:-(\d+)s\}", SERVICES[name]["stop_grace_period"])
    assert grace is not None
    assert int(grace[1]) >= Settings().shutdown_grace_seconds + 15


@pytest.mark.parametrize("name", [*OURS, *ONE_SHOTS])
def test_our_containers_run_with_no_more_rights_than_they_need(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    if name == "output":  # gives the exports' directory to the worker's group, and has nothing else in its reach
        assert service["user"] == "0:0"
        assert service["network_mode"] == "none"
        assert service["volumes"] == SERVICES["worker"]["volumes"]
    else:
        assert service["user"] == "${CONTAINER_UID:-1000}:${CONTAINER_GID:-1000}"
        assert "cap_add" not in service


def test_the_database_is_on_a_named_volume_where_its_image_keeps_its_data() -> None:
    assert SERVICES["db"]["image"] == "postgres:18"  # 18 and newer: a directory below /var/lib/postgresql
    assert SERVICES["db"]["volumes"] == ["db:/var/lib/postgresql"]
    assert "db" in COMPOSE["volumes"]
    environ = SERVICES["db"]["environment"]
    assert (environ["POSTGRES_USER"], environ["POSTGRES_DB"]) == ("user", "jobs_db")


def test_exports_appear_beside_the_compose_file() -> None:
    mount = SERVICES["worker"]["volumes"][0].split(":")
    assert mount[:2] == ["./output", SERVICES["worker"]["environment"]["OUTPUT_DIR"]]


@pytest.mark.parametrize(
    ("name", "servers"),
    [
        ("api", {"db"}),
        ("projector", {"db"}),
        ("migrate", {"db"}),
        ("dispatcher", {"db", "redis"}),
        ("worker", {"db", "redis", "mail"}),
    ],
)
def test_a_process_names_the_servers_that_it_needs_so_that_they_stop_after_it(name: str, servers: set[str]) -> None:
    assert SERVICES[name]["depends_on"].keys() & set(SERVERS) == servers


@pytest.mark.parametrize("name", OURS)
def test_a_process_starts_when_the_schema_is_made(name: str) -> None:
    assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize("name", [*OURS, "migrate"])
def test_what_is_set_in_the_file_are_settings_that_can_be_used(name: str) -> None:
    environ = SERVICES[name]["environment"]
    settings = read_settings(environ, dotenv=None)
    assert environ.keys() <= {field.upper() for field in Settings.__struct_fields__}
    assert all(
        isinstance(value, str) for value in environ.values()
    )  # what YAML takes for a number is passed on differently
    assert SERVICES[name]["env_file"] == ".env"
    assert settings.database_url.endswith("@db:5432/jobs_db")
    assert settings.mail_host in SERVICES


def test_what_can_be_changed_from_outside_is_a_setting_or_explained() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    variables = set(re.findall(r"\$\{(\w+)", text)) | set(COMPOSE["x-jobledger"]["build"]["args"])
    settings = {field.upper() for field in Settings.__struct_fields__}
    explained = set(re.findall(r"`(\w+)`", PAGE))
    assert variables - settings <= explained
    # Without .env the same holds as with the defaults.
    defaults = {name: default for name, default in re.findall(r"\$\{(\w+):-([^}]*)\}", text) if name in settings}
    assert read_settings(defaults, dotenv=None) == Settings()


def test_the_file_names_no_version_and_nothing_that_only_newer_composes_know() -> None:
    assert "version" not in COMPOSE  # Compose v2 calls it obsolete, v1.29 needs none
    newer = {
        "start_interval",
        "develop",
        "include",
        "attach",
        "required",
        "configs",
        "provider",
        "post_start",
        "pre_stop",
    }
    assert not newer & set(_keys(COMPOSE))


def test_every_image_is_named_by_its_version() -> None:
    images = [service["image"] for service in SERVICES.values() if "build" not in service]
    images += [line.split()[1] for line in DOCKERFILE.splitlines() if line.startswith("FROM ")]
    assert images
    assert all(re.fullmatch(r"[\w./-]+:v?\d+(\.\d+)*(-slim)?", image) for image in images), images


def test_the_image_runs_as_a_user_that_is_not_root() -> None:
    last_stage = DOCKERFILE.rpartition("\nFROM ")[2]
    users = re.findall(r"^USER (\S+)$", last_stage, re.MULTILINE)
    assert users == ["1000:1000"]  # as numbers, which those who forbid root can judge


def test_the_image_is_built_without_what_only_buildkit_knows() -> None:
    assert not re.search(
        r"--mount|--link|--chmod|--parents|<<|^# *syntax *=|\$TARGET|\$BUILDPLATFORM", DOCKERFILE, re.MULTILINE
    )


def test_dependencies_are_installed_by_hash_and_before_the_code() -> None:
    lines = DOCKERFILE.replace("\\\n", "").splitlines()
    installing = next(i for i, line in enumerate(lines) if "-r requirements-run.lock" in line)
    copying = next(i for i, line in enumerate(lines) if line.startswith("COPY . "))
    assert installing < copying
    assert all("--require-hashes" in part for part in lines[installing].split("&&") if "-r requirements" in part)


def test_all_code_and_nothing_else_is_sent_to_the_build() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    files = {"pyproject.toml", "README.md", "LICENSE", "requirements-run.lock", "requirements-build.lock"}
    optional = {"pip.conf", "pip-ca.pem"}
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == {*packages, *files, *optional}
    assert all((ROOT / name).exists() for name in {*packages, *files})
    assert optional <= set((ROOT / ".gitignore").read_text().splitlines())


def test_the_one_shot_for_exports_is_a_program_that_a_shell_accepts() -> None:
    (program,) = SERVICES["output"]["command"]
    assert SERVICES["output"]["entrypoint"] == ["/bin/sh", "-ec"]
    assert "chown" not in shlex.split(program)  # the directory keeps its owner


def _keys(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [*node, *(key for value in node.values() for key in _keys(value))]
    if isinstance(node, list):
        return [key for value in node for key in _keys(value)]
    return []
