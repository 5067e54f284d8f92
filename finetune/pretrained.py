"""A checkpoint as a backbone: trials to sources, latents, features of the masked model, or two.

Every feature has about the same size, whichever part it comes from: vectors of unit length are
multiplied by the root of their width; sources have a size of order one.

Shapes: B trials, C sensors, T samples, W windows, L samples a window, P frames, N sources, D width.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from brainfm.brain_tokenizer import Sensors
from brainfm.checkpoints import (
    BrainModel,
    ModelRecord,
    checkpoint_splits,
    load_checkpoint,
    read_config,
    read_record,
)
from brainfm.code_times import context_frames, n_frames
from brainfm.encoder import Layer
from brainfm.hub import find_checkpoint
from brainfm.input_contract import contracted_input
from brainfm.layer_mixture import LayerMixture
from brainfm.lead_field import LeadField
from brainfm.processing_config import ProcessingConfig
from brainfm.recording_info import content_hash
from brainfm.seanet import SEANetEncoder
from brainfm.sensors import SENSOR_TYPES
from brainfm.splits import Split

from .backbone import Backbone
from .trial_batch import TrialBatch

CODED = ("masked", "both")
"""Features that the masked model takes part in."""
NOISE_SECONDS = 60.0
"""Of noise, that the codebooks of a random model are set from."""


class Pretrained(Backbone):
    """The encoder of a checkpoint folder.

    Parameters
    ----------
    checkpoint
        Folder that ``brainfm export`` or ``brainfm import-brainomni`` wrote, or another name that
        :func:`brainfm.from_pretrained` takes.
    features
        ``latents``: the tokenizer's, before they are quantized, so that training reaches its
        encoder. ``masked``: of the masked model, given the codes; training reaches the masked model
        only. ``both``: one after the other along the width. ``sources``: the waveforms of the
        latent sources, linear in the sensors, D samples a frame; training reaches the lead field.
    layer
        Of the masked model: 0 is its input, -1 its last block; ``mixture`` is a mean of all whose
        weights are trained with the head.
    random
        The same architecture with new weights and codebooks: the control that tells what
        pretraining is worth.
    seed
        Of those weights.
    """

    def __init__(
        self,
        checkpoint: str,
        features: Literal["latents", "masked", "both", "sources"] = "both",
        layer: Layer = "mixture",
        random: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        try:
            self.folder = find_checkpoint(checkpoint)
        except FileNotFoundError as error:
            option = "--model.backbone.init_args.checkpoint"
            raise FileNotFoundError(f"{error}; name it with {option}") from error
        self.record = read_record(self.folder)
        if features in CODED and self.record.masked_model is None:
            raise ValueError(
                f"{checkpoint} holds a tokenizer only, which has no {features} features; set "
                "features to latents"
            )
        if features not in CODED and layer != "mixture":
            raise ValueError(
                f"layer is one of the masked model, and features are {features}: {layer}"
            )
        if features == "sources" and self.record.tokenizer.architecture != "brainfm":
            raise ValueError(
                f"{checkpoint} has no waveforms of sources (architecture "
                f"{self.record.tokenizer.architecture!r}); set features to latents"
            )
        self.features, self.layer = features, layer
        self.random, self.seed = random, seed
        self._weights_digest = str(read_config(self.folder)["weights"]["sha256"])
        self.model: BrainModel | None = None
        self.mixture: LayerMixture | None = None

    @property
    def processing(self) -> ProcessingConfig:
        """Return the checkpoint's input contract."""
        return self.record.processing

    @property
    def digest(self) -> str:
        """Return a hash of weights, architecture and which features are taken."""
        record = {**self.record.to_json(), "training": {}, "fidelity": None}
        weights = ["random", self.seed] if self.random else self._weights_digest
        return content_hash(record, weights, self.features, self.layer)

    def pretraining(self) -> tuple[Mapping[str, Any], list[Split]] | None:
        """Return what the checkpoint says it was trained on; None if it is random."""
        if self.random:
            return None
        return self.record.training, checkpoint_splits(self.folder)

    def build(self, example: TrialBatch, n_subjects: int) -> None:
        """Load the weights, and leave untrained what has no part in the features."""
        if self.random:
            self.model = random_model(self.record, self.seed)
        else:
            self.model = load_checkpoint(self.folder)
        if self.features in CODED and self.layer == "mixture":
            assert self.model.masked_model is not None
            self.mixture = LayerMixture(len(self.model.masked_model.blocks) + 1)
        self.requires_grad_(True)
        one: TrialBatch = _first(example)
        # A graph once: what no gradient reaches here, none reaches in training.
        trained = list(self.parameters())
        found = torch.autograd.grad(self(one).sum(), trained, allow_unused=True)
        for parameter, gradient in zip(trained, found, strict=True):
            parameter.requires_grad_(gradient is not None)

    def forward(self, batch: TrialBatch) -> Tensor:
        """Return features (B, P, N, D) of the frames that begin within the trial."""
        model = self._built
        signal, cfg = batch.signal, model.tokenizer.cfg
        given = (signal.types, signal.mask, signal.scale)
        contract = self.record.input_contract
        x, positions = contracted_input(signal.x.float(), signal.positions, *given, contract, cfg)
        embedded = model.tokenizer.embed_sensors(
            positions, signal.orientations, signal.types, signal.mask
        )
        if self.features == "sources":
            return self._sources(x, embedded)
        windows = model.tokenizer.cut(x)
        reached = torch.is_grad_enabled() and self.features != "masked"
        with torch.set_grad_enabled(reached):
            z = model.tokenizer.encode(windows, embedded)
        kept = n_frames(signal.x.shape[-1], cfg)
        parts = []
        if self.features != "masked":
            parts.append(z[:, :, :kept])
        if self.features in CODED:
            parts.append(self._masked(z.detach(), kept))
        sized = [part.float() * part.shape[-1] ** 0.5 for part in parts]
        return rearrange(torch.cat(sized, dim=-1), "b n p d -> b p n d")

    def _sources(self, x: Tensor, sensors: Sensors) -> Tensor:
        """Return the waveforms of the sources (B, P, N, D), zero after the end of the trial."""
        gather, hop = self._built.tokenizer.gather, self._built.tokenizer.cfg.hop
        assert isinstance(gather, LeadField)
        sources = gather.gather(x, *sensors)
        padded = F.pad(sources, (0, -sources.shape[-1] % hop))
        return rearrange(padded, "b n (p d) -> b p n d", d=hop)

    def _masked(self, z: Tensor, kept: int) -> Tensor:
        """Return features (B, N, P, D) of unit length of latents (B, N, W * P, D)."""
        model = self._built
        assert model.masked_model is not None
        quantizer = model.tokenizer.quantizer
        # Codebooks that follow latents would move here too, under every rank by itself.
        quantizer.eval()
        with torch.no_grad():
            codes = quantizer(z).codes
        # Published features see what fills up the last window.
        if self.record.input_contract != "brainomni":
            codes = codes[:, :, :kept]
        layer = self.layer if self.mixture is None else self.mixture
        # No more frames at once than in pretraining, as the encoder has it.
        context = context_frames(self.record.training, model.tokenizer.cfg.frames_per_window)
        parts = [model.masked_model.features(part, layer) for part in codes.split(context, dim=2)]
        return torch.cat(parts, dim=2)[:, :, :kept]

    def layers(self) -> Sequence[Sequence[nn.Parameter]]:
        """Return what is trained, from the sensors to the last block."""
        model = self._built
        tokenizer, masked = model.tokenizer, model.masked_model
        modules: list[Sequence[nn.Module]] = [(tokenizer.sensor_embedding,)]
        if isinstance(tokenizer.encoder, SEANetEncoder):
            modules += [(tokenizer.encoder,), (tokenizer.gather,)]
        else:
            modules += [(tokenizer.gather, tokenizer.encoder.analysis)]
            modules += [(block,) for block in tokenizer.encoder.blocks]
        if masked is not None:
            modules += [(masked.project,), *((block,) for block in masked.blocks)]
        if self.mixture is not None:
            modules += [(self.mixture,)]
        groups = [
            [p for m in group for p in m.parameters() if p.requires_grad] for group in modules
        ]
        return [group for group in groups if group]

    @property
    def _built(self) -> BrainModel:
        assert self.model is not None, "build comes first"
        return self.model


def random_model(record: ModelRecord, seed: int) -> BrainModel:
    """Return a model with new weights, and codebooks set from what it makes of noise."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BrainModel(record).eval()
        tokenizer = model.tokenizer
        cfg = tokenizer.cfg
        n_channels = 2 * cfg.n_sources
        places = F.normalize(torch.randn(1, n_channels, 3), dim=-1)
        kind = SENSOR_TYPES["eeg" if "eeg" in cfg.types else next(iter(cfg.types))]
        with torch.no_grad():
            sensors = tokenizer.embed_sensors(
                places * 0.09,
                places if kind.oriented else torch.zeros_like(places),
                torch.full((1, n_channels), kind.code),
                torch.ones(1, n_channels, dtype=torch.bool),
            )
            noise = torch.randn(1, n_channels, round(NOISE_SECONDS * cfg.sfreq))
            z = tokenizer.encode(tokenizer.cut(noise, overlap=0.0), sensors)
            tokenizer.quantizer.initialise(z.flatten(0, -2))
        model.share_codes()
    return model


def _first(part: Any) -> Any:
    """Return the first trial of a tensor, or of every tensor of a batch."""
    if isinstance(part, tuple):
        return type(part)(*(_first(each) for each in part))
    return None if part is None else part[:1]
