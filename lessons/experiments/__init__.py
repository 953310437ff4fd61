"""The claims of post-training as experiments: a question, a controlled comparison, seeds, an interval, a verdict.

`claim` registers an experiment, `measure` runs it over its seeds (or finds its result on disk), `Lab` keeps what was
trained. The experiments themselves are in `measured/`, one file a topic. A claim that the measurement refutes is
reported as refuted.
"""

from lessons.experiments.claim import CLAIMS, Claim, ClaimError, Finding, claim
from lessons.experiments.lab import Lab
from lessons.experiments.measuring import all_claims, find_claim, measure

__all__ = ["CLAIMS", "Claim", "ClaimError", "Finding", "Lab", "all_claims", "claim", "find_claim", "measure"]
