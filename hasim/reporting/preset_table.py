"""Presets as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hasim.config.presets import Preset, PresetGroup, load, names


def sheet(group: PresetGroup) -> list[dict[str, str]]:
    """Presets of a group as rows of text, the same columns in each: name, what, values, origin."""
    rows = []
    for name in names(group):
        preset = load(group, name)
        rows.append(
            {"name": name, "what": preset.about}
            | (_device(preset) if group == "devices" else {"values": _in_words(preset.values)})
            | {
                "provenance": preset.provenance.replace("_", " ")
                + (" *" if preset.estimated else ""),
                "source": "\n".join(preset.source),
            }
        )
    return rows


def _device(preset: Preset) -> dict[str, str]:
    """What one compares devices by; * marks our estimates."""
    values, figures = preset.values, preset.figures
    rates, power = values["mmac_per_s"], values.get("power", {})

    def cell(path: str, value: Any) -> str:
        return "" if value is None else f"{value:g}" + (" *" if path in preset.estimated else "")

    apart = values.get("accelerator_mmac_per_s", {})
    return {
        "int8": cell("mmac_per_s.int8", rates.get("int8", apart.get("int8"))),
        "conv. int8": cell("", rates.get("convolution", {}).get("int8")),
        "fp32": cell("mmac_per_s.fp32", rates["fp32"]),
        "RAM, NVM kB": ", ".join(cell("", values.get(key)) or "?" for key in ("ram_kb", "nvm_kb")),
        "active, idle mW": ", ".join(
            cell(f"power.{key}", power.get(key)) or "?" for key in ("active_mw", "idle_mw")
        ),
        "pJ/MAC": cell("", figures.get("dense_int8_pj_per_mac")),
    }


def _in_words(values: Mapping[str, Any]) -> str:
    parts = [
        f"{key}: {{{_in_words(value)}}}" if isinstance(value, Mapping) else f"{key}: {value}"
        for key, value in values.items()
    ]
    return ", ".join(parts)
