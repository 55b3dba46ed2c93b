"""How is a comparison written for programs (JSON, CSV) and for documents (Markdown)?"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from lightning_cv.compare.comparison import Comparison
from lightning_cv.compare.groups import score
from lightning_cv.compare.report import HEADER, group_tables, remarks
from lightning_cv.compare.settings import ABSENT
from lightning_cv.compare.table import Table

_MOST_AS_COLUMNS = 4


def to_json(comparison: Comparison, table: Table) -> str:
    """Everything, as strict JSON: numbers that are not finite are "NaN", "Infinity", "-Infinity"."""
    by_label = dict(zip(comparison.labels, comparison.runs, strict=True))
    runs = []
    for index, label in enumerate(table.labels):
        run = by_label[label]
        facts = {column.key: column.values[index] for column in table.columns if column.values[index] is not ABSENT}
        head = {"run": label, "source": run.source, "name": run.name, "id": run.run_id, "seed": run.seed}
        runs.append({**head, "idle_s": run.idle_s, "error": run.error, "notes": run.notes, "facts": facts})
    record = {
        "runs": runs,
        "differing": comparison.differing.keys,
        "ignored": comparison.differing.ignored,
        "metrics": [{"name": m.name, "mode": m.mode, "mode_from": m.reason} for m in comparison.metrics],
        "groups": [
            {
                "label": group.label,
                "runs": [comparison.labels[index] for index in group.members],
                "num_seeds": group.num_seeds,
                "scores": {
                    metric.name: {"values": found.values, "mean": found.mean, "sd": found.spread}
                    for metric in comparison.metrics
                    for found in [score(comparison.runs, group, metric)]
                },
            }
            for group in comparison.groups
        ],
        "contrasts": _contrasts(comparison),
        "twins": _twins(comparison),
        "remarks": remarks(comparison, all_keys=True),
    }
    return json.dumps(_strict(record), indent=2, allow_nan=False, default=str) + "\n"


def to_csv(_: Comparison, table: Table) -> str:
    """One line a run; the header names the facts as `--sort` takes them. Empty: unknown."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", *(column.key for column in table.columns)])
    for index, label in enumerate(table.labels):
        writer.writerow([label, *(_field(column.values[index]) for column in table.columns)])
    return text.getvalue()


def to_markdown(comparison: Comparison, table: Table) -> str:
    """The tables and the remarks; few runs are columns, many are rows."""
    columns = table.shown(all_keys=False)
    rows = [
        [label, *cells]
        for label, cells in zip(table.labels, zip(*(c.texts for c in columns), strict=True), strict=True)
    ]
    header = ["run", *(column.label for column in columns)]
    if len(rows) <= _MOST_AS_COLUMNS:
        header, *rows = [list(line) for line in zip(header, *rows, strict=True)]
    parts = [_grid(header, rows)]
    parts += [_grid((groups.metric, *HEADER[1:]), groups.rows) for groups in group_tables(comparison)]
    parts.append("\n".join(f"* {_escaped(line)}" for line in remarks(comparison, all_keys=False)))
    return "\n\n".join(parts) + "\n"


FORMATS: dict[str, Callable[[Comparison, Table], str]] = {"json": to_json, "csv": to_csv, "markdown": to_markdown}


def _contrasts(comparison: Comparison) -> list[dict[str, Any]]:
    return [
        {
            "metric": contrast.metric.name,
            "group": comparison.groups[contrast.group].label,
            "reference": comparison.groups[comparison.reference].label,
            "difference": contrast.difference,
            "interval_95": None if contrast.interval is None else [contrast.interval.low, contrast.interval.high],
            "verdict": contrast.verdict,
        }
        for contrast in comparison.contrasts
    ]


def _twins(comparison: Comparison) -> list[dict[str, Any]]:
    return [
        {
            "runs": [comparison.labels[twins.first], comparison.labels[twins.second]],
            "agree": twins.agree,
            "num_values": twins.num_values,
            "only_one": twins.only_one,
            "to_step": twins.to_step,
            "unequal": [{"metric": n, "step": s, "values": [one, two]} for n, s, one, two in twins.unequal],
        }
        for twins in comparison.twins
    ]


def _strict(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, dict):
        return {str(key): _strict(item) for key, item in value.items()}
    return [_strict(item) for item in value] if isinstance(value, list | tuple) else value


def _field(value: Any) -> Any:
    if value is None or value == ABSENT:
        return ""
    return json.dumps(value, default=str) if isinstance(value, list | dict | bool) else value


def _grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_escaped, line)) + " |" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
