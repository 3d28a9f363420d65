"""VBx: Bayesian clustering of a sequence of voiceprints by a hidden Markov model over speakers.

Source: Landini, Profant, Diez and Burget, "Bayesian HMM clustering of x-vector sequences (VBx) in speaker
diarization", 2020; equation numbers below are that paper's. Written from its update equations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

ENOUGH = 1e-4  # gain of the lower bound below which another round is not worth it


@dataclass(frozen=True, slots=True)
class VbxOptions:
    """Attributes:
    loop_probability: that the speaker of one window speaks in the next.
    acoustic_scale: weight of the evidence (Fa), below 1 because windows overlap.
    speaker_scale: resistance to many speakers (Fb).
    trust: how firmly the first labels are believed: their odds are e^trust to 1.
    rounds: most iterations.
    """

    loop_probability: float = 0.9
    acoustic_scale: float = 0.35
    speaker_scale: float = 9.0
    trust: float = 5.0
    rounds: int = 40


def vbx(points: Matrix, between: Matrix, first: Labels, options: VbxOptions = VbxOptions()) -> Labels:
    """Refine the labels `first` of `points`, shape (n, d), in a space with within-speaker variance 1 and
    between-speaker variances `between`, shape (d,). Speakers that explain nothing vanish: the labels given
    back count from 0 without gaps.

    The mean of the speakers of this recording is taken for the centre of all speakers: the room and the
    microphone, which they share, move them together.

    Memory and time grow with n × number of labels.
    """
    ratio = options.acoustic_scale / options.speaker_scale
    responsibility = _softened(first, options.trust)
    points = points - np.mean([points[first == label].mean(axis=0) for label in np.unique(first)], axis=0)
    prior = np.full(responsibility.shape[1], 1.0 / responsibility.shape[1])
    scaled = points * np.sqrt(between)
    constant = -0.5 * (np.square(points).sum(axis=1) + points.shape[1] * np.log(2 * np.pi))
    bound = -np.inf
    for _ in range(options.rounds):
        # (17) and (16): posterior variance and mean of each speaker's model
        variance = 1.0 / (1.0 + ratio * responsibility.sum(axis=0)[:, None] * between)
        mean = ratio * variance * (responsibility.T @ scaled)
        # (23): expected log likelihood of each window under each speaker
        penalty = 0.5 * (variance + np.square(mean)) @ between
        evidence = options.acoustic_scale * (scaled @ mean.T - penalty + constant[:, None])
        responsibility, prior, total = _forward_backward(evidence, prior, options.loop_probability)
        # (25): the evidence lower bound
        divergence = np.sum(np.log(variance) - variance - np.square(mean) + 1.0)
        previous, bound = bound, total + options.speaker_scale * 0.5 * float(divergence)
        if bound - previous < ENOUGH:
            break
    return np.asarray(np.unique(responsibility.argmax(axis=1), return_inverse=True)[1], np.int64)


def _softened(labels: Labels, trust: float) -> Matrix:
    """Responsibilities, shape (n, number of labels), that believe the labels but not blindly."""
    _, index = np.unique(labels, return_inverse=True)
    count = int(index.max()) + 1
    other = 1.0 / (np.exp(trust) + count - 1)
    soft = np.full((len(labels), count), other)
    soft[np.arange(len(labels)), index] = np.exp(trust) * other
    return soft


def _forward_backward(evidence: Matrix, prior: Matrix, loop: float) -> tuple[Matrix, Matrix, float]:
    """Responsibilities (n, k), the new prior (k,), and the log likelihood of the sequence.

    A window keeps the speaker with probability `loop`, else draws one from `prior`; so each step costs k
    and not k². Scaled at every step (Rabiner, 1989, section V.A).
    """
    top = evidence.max(axis=1)
    likelihood = np.exp(evidence - top[:, None])
    leave = (1.0 - loop) * prior
    forward = np.empty_like(likelihood)
    scale = np.empty(len(likelihood))
    arrive = prior
    for index, here in enumerate(likelihood):
        joint = here * arrive
        scale[index] = joint.sum()
        forward[index] = joint / scale[index]
        arrive = loop * forward[index] + leave
    likelihood /= scale[:, None]
    backward = np.ones_like(likelihood)
    for index in range(len(likelihood) - 1, 0, -1):
        ahead = likelihood[index] * backward[index]
        backward[index - 1] = loop * ahead + leave @ ahead
    responsibility = forward * backward
    # (24): how often each speaker was drawn from the prior
    drawn = responsibility[0] + leave * (likelihood[1:] * backward[1:]).sum(axis=0)
    return responsibility, drawn / drawn.sum(), float(np.log(scale).sum() + top.sum())
