"""A small project in which nothing is wrong, as tables that tests spoil before they are written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

Columns = dict[str, list[object]]

TOMOGRAMS = "Tomograms/job006/tomograms.star"
SERIES = "Tomograms/job006/tilt_series/TS_01.star"
OTHER_SERIES = "Tomograms/job006/tilt_series/TS_02.star"
PARTICLES = "Extract/job009/particles.star"
MOTION = "Polish/job011/motion.star"
MANIFOLDS = "Polish/job011/manifolds.star"
OPTIMISATION_SET = "Polish/job011/optimisation_set.star"

NAMES = ("TS_01", "TS_02")
ANGLES = (0.0, 3.0, -3.0, -6.0, 6.0, 9.0, -9.0)
N_TILTS = len(ANGLES)


@dataclass(slots=True)
class Block:
    """A block with one loop, or with pairs."""

    name: str
    columns: Columns
    is_list: bool = False

    def text(self) -> str:
        if self.is_list:
            return f"data_{self.name}\n\n" + "".join(f"_{label} {value[0]}\n" for label, value in self.columns.items())
        rows = zip(*self.columns.values(), strict=True)
        header = "".join(f"_{label} #{i}\n" for i, label in enumerate(self.columns, 1))
        return f"data_{self.name}\n\nloop_\n{header}" + "".join(" ".join(map(str, row)) + "\n" for row in rows)


_MANIFOLD = {"Index": 1, "Type": "sphere", "Params": "[9,9,9,5]"}

Files = dict[str, list[Block]]


def sound_project() -> Files:
    """Two tomograms of seven tilts, four particles with trajectories, two manifolds, and what names them all."""
    return {
        OPTIMISATION_SET: [
            Block(
                "",
                {
                    "rlnTomoParticlesFile": [PARTICLES],
                    "rlnTomoTomogramsFile": [TOMOGRAMS],
                    "rlnTomoTrajectoriesFile": [MOTION],
                    "rlnTomoManifoldsFile": [MANIFOLDS],
                    "rlnTomoReferenceMap1File": ["Reconstruct/job012/half1.mrc"],
                },
                is_list=True,
            )
        ],
        TOMOGRAMS: [Block("global", _tomograms())],
        SERIES: [Block("TS_01", _tilts("TS_01"))],
        OTHER_SERIES: [Block("TS_02", _tilts("TS_02"))],
        PARTICLES: [
            Block("general", {"rlnTomoSubTomosAre2DStacks": [1]}, is_list=True),
            Block("optics", _optics()),
            Block("particles", _particles()),
        ],
        MOTION: [
            Block("general", {"rlnParticleNumber": [4]}, is_list=True),
            *(
                Block(f"{name}/{i}", {f"rlnOrigin{axis}Angst": [0.5] * N_TILTS for axis in "XYZ"})
                for name in NAMES
                for i in (1, 2)
            ),
        ],
        MANIFOLDS: [
            Block(name, {f"rlnTomoManifold{what}": [value] for what, value in _MANIFOLD.items()}) for name in NAMES
        ],
    }


def _tomograms() -> Columns:
    folder = "Tomograms/job006"
    return {
        "rlnTomoName": [*NAMES],
        "rlnTomoTiltSeriesStarFile": [f"{folder}/tilt_series/{name}.star" for name in NAMES],
        "rlnVoltage": [300.0, 300.0],
        "rlnSphericalAberration": [2.7, 2.7],
        "rlnAmplitudeContrast": [0.1, 0.1],
        "rlnMicrographOriginalPixelSize": [0.675, 0.675],
        "rlnTomoTiltSeriesPixelSize": [1.35, 1.35],
        "rlnTomoHand": [-1.0, -1.0],
        "rlnOpticsGroupName": ["optics1", "optics1"],
        "rlnTomoTomogramBinning": [8.0, 8.0],
        "rlnTomoSizeX": [4000, 4000],
        "rlnTomoSizeY": [4000, 4000],
        "rlnTomoSizeZ": [2000, 2000],
        "rlnEtomoDirectiveFile": [f"AlignTiltSeries/job005/{name}.edf" for name in NAMES],
        "rlnTomoReconstructedTomogram": [f"{folder}/rec_{name}.mrc" for name in NAMES],
    }


def _tilts(name: str) -> Columns:
    """In the order of the angle, as alignment leaves them."""
    order = sorted(range(N_TILTS), key=lambda i: ANGLES[i])
    angles = [ANGLES[i] for i in order]
    stems = [f"{name}_{i:03d}_{ANGLES[i]:.1f}" for i in order]
    frames = [stem.replace(".", "_") for stem in stems]
    return {
        "rlnMicrographMovieName": [f"frames/{stem}.mrc" for stem in stems],
        "rlnTomoNominalStageTiltAngle": [angle + 0.001 for angle in angles],
        "rlnTomoNominalTiltAxisAngle": [85.0] * N_TILTS,
        "rlnMicrographPreExposure": [3.0 * i for i in order],
        "rlnTomoNominalDefocus": [-4.0] * N_TILTS,
        "rlnMicrographName": [f"MotionCorr/job002/frames/{frame}.mrc" for frame in frames],
        "rlnCtfPowerSpectrum": [f"MotionCorr/job002/frames/{frame}_PS.mrc" for frame in frames],
        "rlnCtfImage": [f"CtfFind/job003/frames/{frame}_PS.ctf:mrc" for frame in frames],
        "rlnDefocusU": [40100.0 + i for i in order],
        "rlnDefocusV": [39900.0 - i for i in order],
        "rlnDefocusAngle": [45.0] * N_TILTS,
        "rlnTomoXTilt": [0.0] * N_TILTS,
        "rlnTomoYTilt": [angle + 0.2 for angle in angles],
        "rlnTomoZRot": [85.2] * N_TILTS,
        "rlnTomoXShiftAngst": [1.5] * N_TILTS,
        "rlnTomoYShiftAngst": [-2.5] * N_TILTS,
    }


def _optics() -> Columns:
    return {
        "rlnOpticsGroup": [1],
        "rlnOpticsGroupName": ["optics1"],
        "rlnVoltage": [300.0],
        "rlnSphericalAberration": [2.7],
        "rlnAmplitudeContrast": [0.1],
        "rlnTomoTiltSeriesPixelSize": [1.35],
        "rlnImageDimensionality": [2],
        "rlnTomoSubtomogramBinning": [2.0],
        "rlnImagePixelSize": [2.7],
        "rlnImageSize": [96],
    }


def _particles() -> Columns:
    names = [f"{name}/{i}" for name in NAMES for i in (1, 2)]
    return {
        "rlnTomoName": [name.split("/")[0] for name in names],
        "rlnTomoParticleName": [*names],
        "rlnCenteredCoordinateXAngst": [100.0, -100.0, 200.0, -200.0],
        "rlnCenteredCoordinateYAngst": [10.0, -10.0, 20.0, -20.0],
        "rlnCenteredCoordinateZAngst": [1.0, -1.0, 2.0, -2.0],
        "rlnOpticsGroup": [1, 1, 1, 1],
        "rlnTomoVisibleFrames": ["[" + ",".join(["0"] + ["1"] * (N_TILTS - 1)) + "]"] * 4,
        "rlnImageName": [f"Extract/job009/Subtomograms/{name}_stack2d.mrcs" for name in names],
        "rlnRandomSubset": [1, 2, 1, 2],
    }


def as_relion4(files: Files) -> None:
    """Make it a project of RELION 4: all tilt series in the global file, with matrices."""
    global_table = files[TOMOGRAMS][0].columns
    del global_table["rlnTomoTiltSeriesStarFile"]
    global_table["rlnTomoTiltSeriesName"] = [f"stacks/{name}.mrc" for name in NAMES]
    global_table["rlnTomoFrameCount"] = [N_TILTS, N_TILTS]
    for path in (SERIES, OTHER_SERIES):
        (block,) = files.pop(path)
        kept = ("rlnMicrographPreExposure", "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")
        block.columns = {f"rlnTomoProj{row}": ["[1,0,0,0]"] * N_TILTS for row in "XYZW"} | {
            label: block.columns[label] for label in kept
        }
        files[TOMOGRAMS].append(block)


def write(files: Files, folder: Path) -> Path:
    """Write a project, and empty files for the images that it names; the optimisation set is given back."""
    for path, blocks in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(block.text() for block in blocks))
        for block in blocks:
            for values in block.columns.values():
                for value in map(str, values):
                    if value.endswith((".mrc", ".mrcs", ".edf", ":mrc")):
                        image = folder / value.removesuffix(":mrc")
                        image.parent.mkdir(parents=True, exist_ok=True)
                        image.touch()
    return folder / OPTIMISATION_SET
