"""``danzar plan``, ``simulate`` and ``replay`` as processes."""

import json

DEVICES = "config/examples/two-cards.yaml"


def test_a_plan_for_a_described_world_as_json(danzar):
    ended = danzar("plan", "sdxl", "--devices", DEVICES, "--json")
    answer = json.loads(ended.out)
    assert ended.status == 0
    assert (answer["version"], answer["model"]) == (1, "sdxl")
    assert answer["plan"]["kind"] == "placed_on"
    assert answer["plan"]["shares"][0]["bytes"] > 8 * 1024**3
    assert {d["device"] for d in answer["devices"]} >= {"cuda:0", "cuda:1"}
    assert answer["leaving"] == []


def test_a_plan_says_who_leaves(danzar, tmp_path):
    world = tmp_path / "world.yaml"
    world.write_text(
        "devices: [{memory: 12 GiB}]\n"
        "models:\n"
        "  old: {size: 8 GiB, loaded: {device: 'cuda:0', idle_s: 500, use_probability: 0.1}}\n"
        "  new: {size: 6 GiB}\n"
    )
    ended = danzar("plan", "new", "--devices", str(world))
    assert ended.status == 0
    assert "old would leave to make room for new" in ended.out
    assert danzar("plan", "nothing", "--devices", str(world)).status == 1


def test_a_simulation_can_be_replayed(danzar, tmp_path):
    record = str(tmp_path / "decisions.jsonl")
    command = ("simulate", "zipf:1:80", "--devices", DEVICES, "--record", record, "--json")
    ended = danzar(*command)
    report = json.loads(ended.out)
    assert ended.status == 0
    assert report["requests"] == 80
    assert (report["over_commits"], report["unanswered"]) == (0, 0)
    assert report["regret"]["regret_s"] >= 0
    again = danzar("replay", record, "--json")
    answer = json.loads(again.out)
    assert again.status == 0
    assert answer["decisions"] == answer["same"] == report["decisions"] > 0


def test_mistakes_are_one_line(danzar, tmp_path):
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text('{"version": 1}\n')
    ended = danzar("replay", str(wrong))
    assert ended.status == 1
    assert ended.err.startswith(f"danzar: {wrong}:1: is no decision")
    unknown = danzar("simulate", "nonsense", "--devices", DEVICES)
    assert unknown.status == 1
    assert "zipf:SEED" in unknown.err
    assert danzar("simulate", "zipf:1:5", "--devices", DEVICES, "-p", "fifo").status == 1
