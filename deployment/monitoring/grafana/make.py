"""Writes the dashboards of `panels.py` as Grafana reads them.

python -m deployment.tools install grafana-foundation-sdk
.tools/grafana-foundation-sdk/bin/python -m deployment.monitoring.grafana.make [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import GraphThresholdsStyleMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DataSourceRef,
    RowPanel,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.dashboard import Panel as PlacedPanel

from deployment.monitoring.grafana.panels import PAGES, Page, Panel

FOLDER = Path(__file__).parent / "dashboards"
SOURCE = DataSourceRef(type_val="prometheus", uid="${source}")
WIDTH = 24
"""Grafana's columns."""


def written(page: Page) -> str:
    """A dashboard as JSON."""
    made = (
        dashboard.Dashboard(f"Multimodal Sentiment: {page.title}")
        .uid(page.identifier)
        .tags(["multimodal-sentiment"])
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .readonly()
        .with_variable(dashboard.DatasourceVariable("source").label("Prometheus").type("prometheus"))
        .link(
            dashboard.DashboardLink("Multimodal Sentiment")
            .type(DashboardLinkType.DASHBOARDS)
            .tags(["multimodal-sentiment"])
            .as_dropdown(True)
        )
    )
    for title, panels in page.rows:
        made = made.with_row(dashboard.Row(title))
        for panel in panels:
            made = made.with_panel(_chart(panel, WIDTH // min(len(panels), 4 if panel.number else 3)))
    built = made.build()
    for variable in built.templating.list_val or []:  # a data source has no intervals, by Grafana's schema
        variable.auto = variable.auto_min = variable.auto_count = None
    _place(built.panels or [])
    return JSONEncoder(sort_keys=True, indent=2).encode(built) + "\n"


def _place(panels: list[PlacedPanel | RowPanel]) -> None:
    """Lay panels out from left to right, line by line; the library's own layout lets some overlap."""
    x = y = height = 0
    for panel in panels:
        assert panel.grid_pos is not None
        if isinstance(panel, RowPanel) or x + panel.grid_pos.w > WIDTH:
            x, y, height = 0, y + height, 0
        panel.grid_pos.x, panel.grid_pos.y = x, y
        x, height = x + panel.grid_pos.w, max(height, panel.grid_pos.h)


def _chart(panel: Panel, span: int) -> stat.Panel | timeseries.Panel:
    made = stat.Panel() if panel.number else _lines(panel)
    made = made.title(panel.title).description(panel.about).unit(panel.unit).datasource(SOURCE)
    made = made.span(span).height(5 if panel.number else 8).thresholds(_thresholds(panel.limit))
    for turn, (expression, legend) in enumerate(panel.series):
        query = prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(chr(ord("A") + turn))
        made = made.with_target(query.instant() if panel.number else query.range())
    return made


def _lines(panel: Panel) -> timeseries.Panel:
    style = GraphThresholdsStyleMode.DASHED if panel.limit is not None else GraphThresholdsStyleMode.OFF
    return timeseries.Panel().min(0).thresholds_style(common.GraphThresholdsStyleConfig().mode(style))


def _thresholds(limit: float | None) -> dashboard.ThresholdsConfig:
    steps = [Threshold(value=None, color="green")]
    if limit is not None:
        steps.append(Threshold(value=limit, color="red"))
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def main() -> None:
    """Write every dashboard."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for page in PAGES:
        (folder / f"{page.identifier}.json").write_text(written(page))


if __name__ == "__main__":
    main()
