"""Images per second of training and scoring, for every net and score of configs/, against what bounds them.

    python performance/nets_and_scores.py

On MNIST, in one process, on one thread or `--threads N`; some fifteen minutes on a CPU. Nets have their first weights,
on which speed hardly depends. What is compared is measured in turn, each for half a second a round after a first call
that is not counted. A figure is the median over the rounds, a ratio the median of the ratios within them.

Nets: those of base.yaml, best.yaml and configs/nets/. A step is the training loss, its gradients and the optimiser of
the config, on a batch of 256 float32 images that lie ready; the forward pass is that of evaluation, without gradients
and with all that scores may read. A step is bounded by about three forward passes, as gradients take two products for
each one of the forward pass: those for the activations and for the weights. That bound is a rule of thumb:

- a net that learns from two views of each image (best, contrastive) makes two such passes in a step, and the time that
  the views take is no part of the bound;
- a fixed front end takes part in the forward pass and wants no gradients (backbone, feature_reconstruction);
- a variational net decodes eleven codes of an image in evaluation and one in training.

Layout and precision: the nets with convolutions again, with weights contiguous and channels_last, in float32 and under
autocast to bf16, which is left out where the processor would emulate it.

Scores: those of base.yaml, best.yaml and the fragments, but for PyOD's, fitted on the outputs of `--normals` normal
images, for a batch of 2048 outputs that lie ready. Scores that compare an image with a bank of vectors are bounded by
the matrix product of the batch with the bank, in pieces of 256 rows. All others are held against the forward pass that
makes the batch of outputs, which is that of base.yaml for a baseline whose net does nothing.

Large bank: nearest neighbours among random codes, with the memory that scoring takes beside bank and codes.
"""

from __future__ import annotations

import argparse

import torch
from configured import chosen, images
from markdown_section import Report, add_options
from nets_table import add_nets
from scores_table import add_large_bank, add_scores

BATCH, SCORED = 256, 2048  # images of a training step, and of a scored batch


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="for which a way is repeated in a round")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--normals", type=int, default=10_000, help="normal images that scores are fitted on")
    parser.add_argument(
        "--large",
        type=int,
        nargs=3,
        default=[10_000, 54_000, 512],
        metavar=("B", "N", "D"),
        help="images, vectors in the large bank, and their size",
    )
    parser.add_argument("--only", nargs="+", metavar="CONFIG", help="of base best convolutional rapp ...")
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--subset", type=int, metavar="N", help="only the first N images of MNIST, to try the script")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="by default cuda where there is one")
    add_options(parser)
    options = parser.parse_args()
    unknown = set(options.only or []) - {path.stem for path in chosen(["nets", "scores", "baselines"], None)}
    if unknown:
        parser.error(f"--only: there is no config {sorted(unknown)}")
    options.device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)  # as the commands do
    torch.manual_seed(9)
    normal, test = images(options)
    normal, batch, test = normal[: options.normals], normal[:BATCH], test[:SCORED]
    facts = f"steps of {len(batch)} images, scores of {len(test):,} fitted on {len(normal):,}, {options.rounds} rounds"
    report = Report("nets_and_scores", facts)
    add_nets(report, batch, options)
    add_scores(report, normal, test, options)
    add_large_bank(report, options)
    report.publish(options)


if __name__ == "__main__":
    main()
