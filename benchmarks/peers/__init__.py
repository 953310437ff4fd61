"""The peers: the same models and algorithms, written as their users would write them.

One readable file each. Nothing here is handicapped: fused projections, fused kernels, fused optimiser, compiled steps;
where a choice of settings is open, the better one counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from benchmarks.harness import BenchmarkError, say

PACKAGES = {  # peer: what it needs
    "torch": "torch",
    "torch-bf16": "torch",
    "compile": "torch",
    "jax": "jax",
    "transformers": "transformers",
}


def chosen(against: str, known: Sequence[str]) -> list[str]:
    """The peers that `--against` names: a comma-separated list, `installed` for all that are, or `none`.

    Errors: `BenchmarkError` for an unknown peer and for one that is not installed.
    """
    if against == "none":
        return []
    if against == "installed":
        installed = [peer for peer in known if find_spec(PACKAGES[peer])]
        if missing := [peer for peer in known if peer not in installed]:
            say(f"  not installed, so not compared with: {', '.join(missing)} (pip install 'minipost[peers]')")
        return installed
    peers = [peer.strip() for peer in against.split(",") if peer.strip()]
    for peer in peers:
        if peer not in known:
            raise BenchmarkError(f"there is no peer {peer!r} here: choose from {', '.join(known)}, installed or none.")
        if not find_spec(PACKAGES[peer]):
            raise BenchmarkError(
                f"the peer {peer} needs {PACKAGES[peer]}, which is not installed: pip install 'minipost[peers]', or "
                "leave it out of --against."
            )
    return list(dict.fromkeys(peers))
