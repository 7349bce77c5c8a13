"""The Kubernetes manifests: valid in strict mode, rendered as well, and with no right too many."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from danzar.config.load import load_config
from tests.deploy.pods import FOLDER, Document, broken_rules, documents, manifests, pod_of

ROOT = Path(__file__).parents[2]
VERSION = "1.31"
# Kinds that a cluster learns from the Prometheus operator; Kubernetes has no schema of them.
FOREIGN = {"PodMonitor"}
MANIFESTS = manifests()
PODS = {name: pod for name, each in MANIFESTS.items() if (pod := pod_of(each)) is not None}
RENDERED = ("base", "overlays/cuda")
each_manifest = pytest.mark.parametrize("name", MANIFESTS)
each_pod = pytest.mark.parametrize("name", PODS)


def check(document: Document) -> None:
    if document["kind"] not in FOREIGN:
        kubernetes_validate.validate(document, VERSION, strict=True)


def find(kind: str, name: str) -> Document:
    return next(
        each
        for each in MANIFESTS.values()
        if (each["kind"], each["metadata"]["name"]) == (kind, name)
    )


def kustomize(folder: Path) -> list[Document]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    said = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    return documents(said.stdout)


@each_manifest
def test_a_manifest_is_valid_in_strict_mode(name: str) -> None:
    check(MANIFESTS[name])


def test_strict_mode_would_see_a_misspelt_key() -> None:
    wrong: dict[str, Any] = {**find("Service", "danzar"), "spce": {}}
    with pytest.raises(kubernetes_validate.ValidationError, match="spce"):
        check(wrong)


@pytest.mark.parametrize("folder", RENDERED)
def test_what_kustomize_makes_of_it_is_valid_and_all_in_one_namespace(folder: str) -> None:
    rendered = kustomize(FOLDER / folder)
    for document in rendered:
        check(document)
        pod = pod_of(document)
        assert pod is None or not list(broken_rules(pod))
        assert document["kind"] == "Namespace" or document["metadata"]["namespace"] == "danzar"
    assert {document["kind"] for document in rendered} >= {
        "Namespace",
        "ServiceAccount",
        "Role",
        "RoleBinding",
        "NetworkPolicy",
        "Deployment",
        "Service",
        "PersistentVolumeClaim",
    }


def test_every_part_can_be_added_to_the_overlay_for_cards(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "kubernetes")
    mine = tmp_path / "kubernetes" / "overlays" / "mine"
    mine.mkdir()
    parts = sorted(folder.name for folder in (FOLDER / "components").iterdir())
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["../cuda"],
        "components": [f"../../components/{name}" for name in parts],
    }
    (mine / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    rendered = kustomize(mine)
    for document in rendered:
        check(document)
    bot = next(
        d for d in rendered if (d["kind"], d["metadata"]["name"]) == ("Deployment", "danzar")
    )
    container = bot["spec"]["template"]["spec"]["containers"][0]
    given = {variable["name"]: variable["value"] for variable in container["env"]}
    assert {
        "DISCORD_TOKEN_FILE",
        "DANZAR_MODELS__USE__CHAT",
        "DANZAR_BOT__JOBS__KEYS",
    } <= given.keys()


def test_the_overlay_for_cards_asks_for_cards_and_their_image() -> None:
    bot = next(d for d in kustomize(FOLDER / "overlays" / "cuda") if d["kind"] == "Deployment")
    pod = bot["spec"]["template"]["spec"]
    assert {container["image"] for container in [*pod["initContainers"], *pod["containers"]]} == {
        "danzar:cuda"
    }
    assert int(pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]) >= 1
    assert pod["containers"][0]["livenessProbe"]["httpGet"]["path"] == "/health"


@each_pod
def test_a_pod_keeps_the_restricted_profile(name: str) -> None:
    assert list(broken_rules(PODS[name])) == []


def test_the_profile_is_not_kept_by_everything() -> None:
    broken = list(broken_rules({"hostNetwork": True, "containers": [{"name": "x"}]}))
    assert "root" in broken
    assert "x: may write to its image" in broken


def test_there_is_one_bot_and_never_two_for_a_moment() -> None:
    spec = find("Deployment", "danzar")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_kubelet_asks_what_danzar_answers_without_a_key() -> None:
    (bot,) = find("Deployment", "danzar")["spec"]["template"]["spec"]["containers"]
    paths = {
        name: bot[f"{name}Probe"]["httpGet"]["path"]
        for name in ("startup", "liveness", "readiness")
    }
    assert paths == {"startup": "/health", "liveness": "/health", "readiness": "/ready"}
    port = next(port["containerPort"] for port in bot["ports"] if port["name"] == "http")
    config = settings_of_the_pod()
    assert port == config.bot.http.port
    assert config.bot.http.host == "0.0.0.0"


def settings_of_the_pod() -> Any:
    given = find("ConfigMap", "danzar")["data"]
    assert given["DANZAR_CONFIG"] == "/data/config"
    return load_config(ROOT / "config", environ=given)


def test_the_bot_answers_to_the_names_of_its_service() -> None:
    assert {"danzar", "danzar.danzar", "danzar.danzar.svc"} <= set(
        settings_of_the_pod().bot.http.hosts
    )


def test_a_pod_has_longer_to_end_than_its_jobs() -> None:
    drain_s = load_config(ROOT / "config", environ={}).bot.jobs.drain_s
    spec = find("Deployment", "danzar")["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] > drain_s


def test_danzar_itself_may_ask_the_cluster_for_nothing() -> None:
    assert find("Role", "danzar")["rules"] == []
    assert find("ServiceAccount", "danzar")["automountServiceAccountToken"] is False


def test_people_who_look_after_it_get_neither_secrets_nor_a_shell() -> None:
    rules = find("Role", "danzar-operator")["rules"]
    resources = {resource for rule in rules for resource in rule["resources"]}
    assert not resources & {"*", "secrets", "pods/exec", "pods/attach"}
    assert "*" not in {verb for rule in rules for verb in rule["verbs"]}


def test_the_network_is_shut_but_for_what_a_policy_opens() -> None:
    nothing = find("NetworkPolicy", "nothing")["spec"]
    assert nothing == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    danzar = find("NetworkPolicy", "danzar")["spec"]
    assert [port["port"] for rule in danzar["ingress"] for port in rule["ports"]] == [8764]
    assert {port["port"] for rule in danzar["egress"] for port in rule["ports"]} == {53, 443}
    blocks = [to["ipBlock"] for rule in danzar["egress"] for to in rule["to"] if "ipBlock" in to]
    assert "169.254.0.0/16" in blocks[0]["except"]


def test_policies_and_services_select_pods_that_are_there() -> None:
    labels = [
        each["spec"]["template"]["metadata"]["labels"]
        for each in MANIFESTS.values()
        if pod_of(each) is not None
    ]
    wanted = [
        *(d["spec"]["selector"] for d in MANIFESTS.values() if d["kind"] == "Service"),
        *(
            d["spec"]["podSelector"].get("matchLabels", {})
            for d in MANIFESTS.values()
            if d["kind"] == "NetworkPolicy"
        ),
        find("PodMonitor", "danzar")["spec"]["selector"]["matchLabels"],
    ]
    for selector in wanted:
        assert any(selector.items() <= has.items() for has in labels), selector


def test_the_namespace_refuses_pods_with_more_rights() -> None:
    labels = find("Namespace", "danzar")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_no_manifest_that_is_applied_holds_a_secret() -> None:
    applied = {
        name
        for file in FOLDER.rglob("kustomization.yaml")
        for name in yaml.safe_load(file.read_text()).get("resources", [])
    }
    assert "secret.example.yaml" not in applied
    secrets = [name for name, each in MANIFESTS.items() if each["kind"] == "Secret"]
    assert secrets == ["base/secret.example.yaml:Secret/danzar"]


def test_the_secret_has_the_names_that_the_pod_looks_for() -> None:
    (bot,) = find("Deployment", "danzar")["spec"]["template"]["spec"]["containers"]
    mounted = {m["name"]: m["mountPath"] for m in bot["volumeMounts"]}
    files = {v["value"] for v in bot["env"] if v["name"].endswith("_FILE")}
    keys = find("Secret", "danzar")["stringData"]
    assert files == {f"{mounted['secrets']}/{key}" for key in keys}
