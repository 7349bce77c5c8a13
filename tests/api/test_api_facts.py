from danzar.config.models import ModelEntry
from danzar.http.api_facts import list_models
from danzar.http.api_targets import JobKind, Target, local_targets, merge_targets
from danzar.jobs.contract import QueueUnavailable
from tests.api.calls import ask
from tests.api.rig import config_of


async def test_health_is_the_seeds_with_more(rig):
    rig.jobs.waiting_now = {"llama-ministral": 2, "stable-diffusion-turbo": 1}
    answer = await ask(rig.url, "GET", "/health")
    assert answer.status == 200
    assert list(answer.json)[:3] == ["status", "vram_free_mb", "loaded_models"]
    assert answer.json["status"] == "healthy"
    assert answer.json["vram_free_mb"] == 13 * 1024
    assert answer.json["loaded_models"] == []
    assert answer.json["models_available"] == 2
    assert answer.json["jobs_queued"] == 3


async def test_without_its_queue_it_is_unhealthy(rig):
    rig.jobs.trouble = QueueUnavailable("the queue is away")
    answer = await ask(rig.url, "GET", "/health")
    assert answer.status == 503
    assert (answer.json["status"], answer.json["redis_connected"]) == ("unhealthy", False)
    assert answer.json["jobs_queued"] is None


async def test_models_are_listed_by_the_seeds_types(rig):
    answer = await ask(rig.url, "GET", "/models")
    types = {model["name"]: model["type"] for model in answer.json}
    assert types == {
        "llama-ministral": "llm",
        "stable-diffusion-turbo": "diffusion",
        "yolo-nano": "detect",
    }
    assert [model["name"] for model in answer.json if model["takes_jobs"]] == [
        "llama-ministral",
        "stable-diffusion-turbo",
    ]


def test_models_of_other_nodes_take_jobs_too(tmp_path):
    config = config_of(tmp_path)
    targets = merge_targets(
        local_targets(config.models),
        [
            ("pc2", "llama-ministral", "chat"),
            ("pc2", "big", "chat"),
            ("pc3", "big", "chat"),
            ("pc3", "yolo-other", "detect"),
        ],
    )
    assert targets["llama-ministral"].nodes == ("pc2",)
    assert targets["big"] == Target("big", JobKind.LLM, is_local=False, nodes=("pc2", "pc3"))
    assert "yolo-other" not in targets
    listed = list_models({"a": ModelEntry(backend="echo", role="chat")}, (), targets)
    assert {model.name: model.nodes for model in listed}["big"] == ["pc2", "pc3"]
