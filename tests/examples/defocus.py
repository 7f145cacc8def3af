"""A small network that predicts the defocus of a tilt image from its angle, its dose, and its neighbours.

    python defocus.py DATASET

What a CTF fit finds for one image is noisy; what its neighbours have, and how the specimen was tilted, says much of it.
Tomograms are split, not tilts: a network that has seen the neighbours of an image would do well on it without having
learned anything.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from tomoarrow import Dataset
from tomoarrow.ml import TiltSeriesDataset

ANGLE, DOSE, DEFOCUS = "rlnTomoNominalStageTiltAngle", "rlnMicrographPreExposure", "rlnDefocusU"


def features(series: dict[str, Any]) -> dict[str, Any]:
    """What the network is given of each tilt, and what it is to find, in micrometres; in the order of the angles."""
    order = series[ANGLE].argsort()
    defocus = series[DEFOCUS][order] / 1e4
    before, after = defocus[:-2], defocus[2:]
    given = torch.stack([series[ANGLE][order][1:-1] / 60, series[DOSE][order][1:-1] / 100, before, after], dim=1)
    return {"given": given, "wanted": defocus[1:-1]}


def loader(dataset: Path, part: Any, *, shuffle: bool) -> DataLoader[Any]:
    """Batches of the tilt series of one part of a split."""
    series = TiltSeriesDataset(
        dataset,
        columns=[ANGLE, DOSE, DEFOCUS],
        projections=None,
        filter=part.filter,
        transform=features,
        batch_size=8,
        shuffle=shuffle,
    )
    return DataLoader(series, batch_size=None)


def error_um(network: nn.Module, batches: DataLoader[Any]) -> float:
    """The mean absolute error of the defocus, in micrometres."""
    with torch.no_grad():
        errors = [(network(b["given"])[..., 0] - b["wanted"])[b["mask"]].abs() for b in batches]
    return float(torch.cat(errors).mean())


def train(dataset: Path, epochs: int = 30) -> tuple[float, float]:
    """Train, and return the errors on tomograms that were never seen: of the mean defocus, and of the network."""
    torch.manual_seed(0)
    seen, unseen = Dataset(dataset).split(by="rlnTomoName", fractions=(0.8, 0.2), seed=0)
    assert not {*seen.names} & {*unseen.names}
    training, test = loader(dataset, seen, shuffle=True), loader(dataset, unseen, shuffle=False)
    mean = torch.cat([batch["wanted"][batch["mask"]] for batch in training]).mean()
    network = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1))
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    for epoch in range(epochs):
        training.dataset.set_epoch(epoch)  # type: ignore[attr-defined]
        for batch in training:
            loss = (network(batch["given"])[..., 0] - batch["wanted"])[batch["mask"]].square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    baseline = torch.cat([(batch["wanted"] - mean)[batch["mask"]].abs() for batch in test]).mean()
    return float(baseline), error_um(network, test)


if __name__ == "__main__":
    without, found = train(Path(sys.argv[1]))
    print(f"error on unseen tomograms: {found:.3f} um; of the mean defocus: {without:.3f} um")
