"""What looks wrong with an evaluation although it looks valid."""

from __future__ import annotations

from aeanomaly.outputs import Evaluation

_DEAD = 1e-6  # a standard deviation below this share of the largest one carries no information in float32

_NAMED = 10  # dead dimensions; a code with places may have thousands


def find_problems(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Suspicions about an evaluation: a short cause, by which repeats are recognised, and the sentence to say.

    Looked for are scores that are NaN, infinite or constant, an AUROC below 0.5, and code dimensions that do not vary
    over normal images.
    """
    problems = []
    for name, scores in evaluation.scores.items():
        broken = int((~scores.isfinite()).sum())
        area = evaluation.metrics.get(name, {}).get("auroc", 1.0)  # has none where one of the groups is missing
        if broken:
            sentence = f"score {name!r} is NaN or infinite for {broken} of {len(scores)} images"
            problems.append((f"{name} finite", sentence))
        elif len(scores) > 1 and scores.max() == scores.min():
            problems.append((f"{name} constant", f"score {name!r} is the same for all {len(scores)} images"))
        elif area < 0.5:
            sentence = f"AUROC of score {name!r} is {area:.3f}, below 0.5: normal images outscore anomalies"
            problems.append((f"{name} auroc", sentence))
    code = evaluation.code[~evaluation.is_anomaly]
    if len(code) > 1 and code.isfinite().all():
        spread = code.std(0)
        dead = (spread <= _DEAD * spread.max().clamp_min(1e-30)).nonzero().flatten().tolist()
        if dead:
            named = str(dead) if len(dead) <= _NAMED else f"{dead[:_NAMED]} and {len(dead) - _NAMED} more"
            problems.append(("dead code", f"code dimensions {named} of {code.shape[1]} do not vary over normal images"))
    return problems
