"""What Kubernetes' manifests say, as documents; and what its `restricted` profile asks of a pod."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]
FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
# Those of kustomize itself, which no cluster sees.
_OF_KUSTOMIZE = "kustomize.config.k8s.io"


def documents(text: str) -> list[Document]:
    return [document for document in yaml.safe_load_all(text) if document]


def manifests() -> dict[str, Document]:
    """Every whole document, by file, kind and name; patches are parts, and left out."""
    patches = {
        (file.parent / patch["path"]).resolve()
        for file in FOLDER.rglob("kustomization.yaml")
        for patch in yaml.safe_load(file.read_text()).get("patches", [])
    }
    return {
        f"{file.relative_to(FOLDER)}:{document['kind']}/{document['metadata']['name']}": document
        for file in sorted(FOLDER.rglob("*.yaml"))
        if file.resolve() not in patches
        for document in documents(file.read_text())
        if _OF_KUSTOMIZE not in document["apiVersion"]
    }


def pod_of(document: Document) -> Document | None:
    """The pod's specification in a Deployment or StatefulSet."""
    if document["kind"] not in ("Deployment", "StatefulSet"):
        return None
    spec: Document = document["spec"]["template"]["spec"]
    return spec


def containers(pod: Document) -> list[Document]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def broken_rules(pod: Document) -> Iterator[str]:
    """What the `restricted` Pod Security Standard would refuse, and what we ask beyond it."""
    context = pod.get("securityContext", {})
    if any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")):
        yield "a namespace of the host"
    if any("hostPath" in volume for volume in pod.get("volumes", [])):
        yield "a folder of the host"
    if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
        yield "root"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "no seccomp profile"
    if pod.get("automountServiceAccountToken") is not False:
        yield "a token of the cluster"
    for container in containers(pod):
        yield from (f"{container['name']}: {rule}" for rule in _of_container(container))


def _of_container(container: Document) -> Iterator[str]:
    context = container.get("securityContext", {})
    if context.get("allowPrivilegeEscalation") is not False:
        yield "may gain rights"
    if context.get("capabilities") != {"drop": ["ALL"]}:
        yield "has capabilities"
    if context.get("readOnlyRootFilesystem") is not True:
        yield "may write to its image"
    if context.get("privileged"):
        yield "privileged"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield "a port of the host"
    if "memory" not in container.get("resources", {}).get("limits", {}):
        yield "memory without a limit"
