"""Voxels as features: nothing between them and the readout, or a linear map for each person.

Shapes: B trials, R voxels or regions, V volumes of a trial, S slots of subjects, D width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from brainfm.processing_config import ProcessingConfig
from brainfm.recording_info import content_hash

from .backbone import Backbone
from .trial_batch import TrialBatch
from .voxel_sources import AS_THEY_ARE

SAME_PLACE_M = 1e-4


class Voxels(Backbone):
    """Standardised voxels as features (B, V, 1, R), or (B, V, 1, D) through a map of each person.

    Parameters
    ----------
    width
        D of a learned linear map of the voxels of every person, after which people can share a
        readout (Scotti et al. 2024, arXiv:2403.11207): their voxels may differ, and who is not in
        training cannot be decoded. 0: no map; all runs have the same voxels, of one person or of
        regions in a common space.
    """

    def __init__(self, width: int = 0) -> None:
        super().__init__()
        if width < 0:
            raise ValueError(f"width must not be negative, got {width}")
        self.width = width
        self.maps: nn.Parameter | None = None
        self.places: Tensor

    @property
    def processing(self) -> ProcessingConfig:
        """Return that voxels are taken as their source has prepared them."""
        return AS_THEY_ARE

    @property
    def digest(self) -> str:
        """Return a name where nothing is learned, so that features are kept."""
        return "" if self.width else content_hash("voxels")

    @property
    def weightless(self) -> bool:
        """Return whether nothing is learned."""
        return not self.width

    def build(self, example: TrialBatch, n_subjects: int) -> None:
        """Take the voxels of the first trial as those of all, or make a map for each person."""
        n_voxels = example.signal.x.shape[1]
        if self.width:
            start = torch.randn(n_subjects, n_voxels, self.width) * n_voxels**-0.5
            self.maps = nn.Parameter(start)
        self.register_buffer("places", example.signal.positions[0].clone())

    def forward(self, batch: TrialBatch) -> Tensor:
        """Return features (B, V, 1, R or D).

        Raises
        ------
        ValueError
            Other voxels than the backbone was made for, or a person that it was not.
        """
        x = batch.signal.x.float().transpose(1, 2)
        if self.maps is None:
            self._check(batch)
            return x.unsqueeze(2)
        if not batch.subject.all():
            trial = int(batch.trial[batch.subject == 0][0])
            raise ValueError(
                f"trial {trial} is of a person who is not in training, whose voxels have no map: "
                "split by session or run, or take regions in a common space and width 0"
            )
        if x.shape[2] > self.maps.shape[1]:
            raise ValueError(
                f"a run has {x.shape[2]} voxels, more than the {self.maps.shape[1]} of the people "
                "that the maps were made for"
            )
        # Padding is zero, and so is what its weights give.
        maps = self.maps[batch.subject - 1, : x.shape[2]]
        return torch.bmm(x, maps.to(x.dtype)).unsqueeze(2)

    def _check(self, batch: TrialBatch) -> None:
        there, wanted = batch.signal.positions, self.places
        if there.shape[1] == len(wanted):
            apart = (there - wanted).abs().amax((1, 2)) > SAME_PLACE_M
            if not apart.any():
                return
            trial = int(batch.trial[apart][0])
            what = f"trial {trial} has voxels at other places than those decoded from"
        else:
            what = f"runs have {there.shape[1]} and {len(wanted)} voxels"
        raise ValueError(
            f"{what}: give all runs one mask or an atlas in a common space, or let every person "
            "have a map (model.backbone.init_args.width)"
        )

    def layers(self) -> Sequence[Sequence[nn.Parameter]]:
        """Return the maps, if there are any."""
        return [] if self.maps is None else [[self.maps]]
