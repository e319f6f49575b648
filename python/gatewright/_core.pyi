"""The compiled part of gatewright; use the package itself."""

from collections.abc import Sequence
from typing import Any

from gatewright import Error as Error

Source = tuple[str, str, bool, dict[str, Any]]

def rule_names() -> list[str]: ...
def inspect(source: Source) -> str: ...
def layers_text(source: Source) -> str: ...
def predict(
    source: Source,
    arrays: dict,
    exact: bool,
    final_activation: str,
    config: str,
    trace: bool,
    threads: int,
    seed: int,
) -> tuple: ...
def convert(
    source: Source,
    output: str,
    backends: Sequence[str],
    target: str | None,
    clock_period: float | None,
    stages: int | None,
    latency: int | None,
    register_inputs: bool,
    register_outputs: bool,
    clock_enable: bool,
    extra_depth: int,
    config: str,
    calibration: str,
    bits: int | None,
    max_error: float | None,
    final_activation: str,
    force: bool,
) -> str: ...
def config_template(source: Source) -> str: ...
def simulate(
    folder: str, arrays: dict, simulator: str | None, netlist: bool, seed: int, timeout: float
) -> tuple: ...
def synthesize(folder: str, target: str | None, place_and_route: bool, timeout: float) -> str: ...
def verify(folder: str, samples: int, seed: int, timeout: float) -> str: ...
def report(folder: str) -> str: ...
def report_html(folder: str) -> str: ...
