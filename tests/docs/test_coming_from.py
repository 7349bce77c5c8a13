"""Each section of the five guides that Danzar succeeds has its counterpart on a page."""

import re

import pytest

from tests.docs.pages import DOCS, links, text_of

PAGE = text_of(DOCS / "coming-from.md")
# Their sections, without introductions, conclusions, plans for the future and lists of files.
GUIDES = {
    "VLM GPU Memory Optimizer": (
        "Architecture", "Components", "Key Features", "MemoryConfig Parameters",
        "Optimization Strategies", "Basic Usage", "CLI Usage", "Monitoring", "Metrics",
        "Grafana Dashboard", "Alerts", "Deployment", "Docker Deployment", "Kubernetes Deployment",
        "Health Checks", "Best Practices", "Tuning Guidelines", "Memory Thresholds",
        "Batch Size Optimization", "Monitoring Intervals", "Troubleshooting", "High Memory Usage",
        "Optimization Failures", "Batch Size Oscillation", "Debugging", "Enable Debug Logging",
        "Check GPU Status", "Review Optimization History", "VLM Service Integration",
        "Service Discovery", "Configuration Management", "Security", "Access Control",
        "Data Protection", "Compliance", "Regulatory Compliance", "Audit Requirements",
        "Maintenance", "Regular Maintenance", "Backup and Recovery", "Support", "Getting Help",
        "Reporting Issues",
    ),
    "GPU memory management guide": (
        "GPU Allocation Strategy", "Memory Management Features", "Vision Configuration",
        "Discord Commands", "Programmatic Usage", "Service Integration", "Vision Services",
        "Automatic Device Selection", "Best Practices",
        '"No GPU devices available with sufficient memory"', '"Device 0 reserved for main LLM"',
        "High GPU utilization warnings", "Performance Optimization", "Memory Monitoring",
        "Device Selection Algorithm", "Memory Reservation",
    ),
    "VRAM management across two PCs": (
        "Components Modified", "Configuration", "Predictive Model Loading",
        "Fine-tuned Model Unloading", "VRAM Pressure Mitigation", "Communication Flow", "Security",
        "Testing",
    ),
    "Resource manager for generation": (
        "Proactive VRAM Checking", "Automatic Parameter Optimization",
        "Resource Requirement Estimation", "Memory Cleanup and Optimization",
        "Integration with Generation Pipeline", "Error Handling and Fallbacks", "Usage Examples",
    ),
    "VramCram": (
        "Dependencies", "Installing Inference Binaries", "Architecture", "Quick Start",
        "Prerequisites", "Installation", "Configuration", "Usage", "Model Setup",
        "Example Scripts", "Running Tests", "Project Structure", "Configuration Reference",
        "Job Lifecycle", "VRAM Management", "Failure Recovery", "Systemd Service",
        "Production Considerations", "Worker fails to load model", 'Jobs stuck in "queued" status',
        "VRAM not being released", "Redis connection errors", "Contributing",
    ),
}  # fmt: skip


def rows_of(guide: str) -> dict[str, str]:
    """Where each section of a guide is here, as the page says."""
    part = PAGE.split(f"## {guide}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", part, re.MULTILINE)[2:]
    return {title.strip(): here for titles, here in rows for title in titles.split(", ")}


@pytest.mark.parametrize("guide", GUIDES)
def test_every_section_has_a_counterpart(guide: str) -> None:
    assert [title for title in GUIDES[guide] if title not in rows_of(guide)] == []


@pytest.mark.parametrize("guide", GUIDES)
def test_every_counterpart_is_a_page_or_a_setting(guide: str) -> None:
    """That the links lead somewhere is seen to in test_pages.py, as for all pages."""
    assert [title for title, here in rows_of(guide).items() if not links(here)] == []


@pytest.mark.parametrize("guide", GUIDES)
def test_no_row_is_for_a_section_that_is_not_there(guide: str) -> None:
    assert set(rows_of(guide)) == set(GUIDES[guide])
