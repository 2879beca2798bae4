"""Arithmetic on measurements."""

import statistics
from collections.abc import Sequence


def percentile(sorted_values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile."""
    rank = max(1, -(-len(sorted_values) * percent // 100))
    return sorted_values[int(rank) - 1]


def latencies_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Return p50, p90 and p99 in milliseconds."""
    values = sorted(seconds)
    return {f"p{percent}_ms": significant(percentile(values, percent) * 1000) for percent in (50, 90, 99)}


def median(values: Sequence[float]) -> float:
    return significant(statistics.median(values))


def significant(value: float) -> float:
    """Round to four digits: no measurement here is better than that."""
    return float(f"{value:.4g}")
