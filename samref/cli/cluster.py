"""What a cluster's scheduler refuses, and what became of jobs that it ended, as one sentence."""

from __future__ import annotations

# By name: the launcher that raises them is an extra.
REFUSED, ENDED = "FailedJobError", "UncompletedJobError"


def cluster_problem(error: Exception) -> str | None:
    """The sentence for an error of the launcher of jobs; None for any other error.

    >>> from submitit.core.utils import FailedJobError
    >>> cluster_problem(FailedJobError("sbatch: error: invalid partition specified: x"))
    'Slurm refused the jobs: invalid partition specified: x; hydra.launcher.partition=NAME is one that `sinfo` lists'
    """
    kind, text = type(error).__name__, " ".join(str(error).split())
    if kind == REFUSED:
        reason = text.removeprefix("sbatch: error: ") or "it gave no reason"
        return f"Slurm refused the jobs: {reason}; {_advice(reason)}"
    if kind == ENDED:
        return (
            "a job ended before it was done, as when its time or its memory is used up (hydra.launcher.timeout_min, "
            f"hydra.launcher.mem_gb); the same command goes on from there, and what the job printed is in {_log(text)}"
        )
    return None


def _advice(reason: str) -> str:
    lowered = reason.lower()
    if "generic resource" in lowered or "gres" in lowered:
        return "where nodes have no GPU, hydra/launcher=slurm_cpu requests none"
    if "partition" in lowered:
        return "hydra.launcher.partition=NAME is one that `sinfo` lists"
    if "memory" in lowered:
        return "hydra.launcher.mem_gb=N is what one node has, see `sinfo -N -l`"
    return "hydra.launcher.KEY=VALUE changes what is requested, and conf/hydra/launcher/slurm.yaml lists the keys"


def _log(text: str) -> str:
    named = [word.strip("'\"(),.:") for word in text.split() if word.rstrip(".,:)'\"").endswith((".out", ".err"))]
    return named[0] if named else "the folder slurm of the sweep"
