"""Pictures of objectives: what PPO's clipping does, and where it lets no gradient through."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from minipost.report.style import WIDTH, colour, note, styled


@styled
def clip_regions(clip: float = 0.2) -> Figure:
    """PPO's objective for one token over the ratio, for a good action (A = 1) and a bad one (A = -1).

    min(rho A, clip(rho, 1 - eps, 1 + eps) A). Arrows point where a gradient step moves the ratio; the flat, shaded part
    has no gradient. A bad action that has become *more* likely is never clipped (Schulman et al. 2017, figure 1).
    """
    figure = Figure(figsize=(2 * WIDTH, 2.7), layout="constrained")
    rho = np.linspace(0.4, 1.6, 601)
    for ax, advantage, name in zip(
        figure.subplots(1, 2), (1.0, -1.0), ("good action, A = 1", "bad action, A = −1"), strict=True
    ):
        objective = np.minimum(rho * advantage, np.clip(rho, 1 - clip, 1 + clip) * advantage)
        flat = (1 + clip, 1.6) if advantage > 0 else (0.4, 1 - clip)
        ax.axvspan(*flat, facecolor=colour("context"), hatch="//", edgecolor=colour("rule"), linewidth=0)
        ax.plot(rho, rho * advantage, color=colour("muted"), linestyle=":", linewidth=1.2)
        ax.plot(rho, objective, color=colour("ppo"), linewidth=2.4)
        for start in (0.55, 0.9, 1.1, 1.45):
            if not flat[0] <= start <= flat[1]:
                x, y = start - 0.09 * advantage, start * advantage + 0.06
                arrow = {"arrowstyle": "-|>,head_width=0.3,head_length=0.6", "color": colour("sft"), "linewidth": 2}
                ax.annotate("", (x + 0.18 * advantage, y + 0.18), (x, y), arrowprops=arrow)
        note(ax, "no gradient", (sum(flat) / 2, float(advantage)), (0, 0), ha="center", va="center", size=8)
        for edge in (1 - clip, 1, 1 + clip):
            ax.axvline(edge, color=colour("rule"), linewidth=1, zorder=0)
        ax.set_xticks([1 - clip, 1, 1 + clip], ["1 − ε", "1", "1 + ε"])
        ax.set_title(name)
        ax.set(xlabel="ratio ρ = π / π old", ylabel="objective")
    return figure
