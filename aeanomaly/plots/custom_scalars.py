"""Charts of several scalars, as TensorBoard's tab Custom Scalars wants them described."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.custom_scalar import metadata
from tensorboard.plugins.custom_scalar.layout_pb2 import Chart, Layout


def lines(title: str, patterns: Sequence[str]) -> Chart:
    """A chart with a line for every scalar whose tag matches one of the regular expressions."""
    return Chart(title=title, multiline={"tag": patterns})


def bands(title: str, series: Sequence[tuple[str, str, str]]) -> Chart:
    """A chart with a band for each triple of tags: of the line, of the lower and of the upper edge."""
    content = [{"value": value, "lower": lower, "upper": upper} for value, lower, upper in series]
    return Chart(title=title, margin={"series": content})


def layout(categories: Mapping[str, Sequence[Chart]]) -> Layout:
    """Charts by the title of their category. TensorBoard shuffles charts of different kinds within a category."""
    return Layout(category=[{"title": title, "chart": charts} for title, charts in categories.items()])


def layout_summary(content: Layout) -> Summary:
    """The layout as the summary that TensorBoard looks for; its own maker of it needs TensorFlow."""
    tensor = {"dtype": "DT_STRING", "string_val": [content.SerializeToString()], "tensor_shape": {}}
    value = {"tag": metadata.CONFIG_SUMMARY_TAG, "tensor": tensor, "metadata": metadata.create_summary_metadata()}
    return Summary(value=[value])
