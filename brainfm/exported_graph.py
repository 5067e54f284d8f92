"""A checkpoint as one function of a prepared signal and its sensors, to be traced into a graph.

The number of channels, the length and the number of stretches are free: sensors are an input, so
that one graph serves every device, and what turns sensors into sources is computed inside.

Shapes: B stretches, C sensors, T samples, W windows, L samples a window, P frames, N sources,
Q quantizers, D width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brainfm.brain_tokenizer import Sensors
from brainfm.checkpoints import BrainModel, ModelRecord, codes_digest
from brainfm.code_times import context_frames
from brainfm.encoder import Layer
from brainfm.exported_record import ExportedRecord


def check_graph(record: ModelRecord) -> None:
    """Raise ValueError if a model cannot be one graph."""
    cfg = record.tokenizer
    if cfg.architecture != "brainfm" or record.input_contract != "brainfm" or cfg.overlap:
        raise ValueError(
            f"a model of architecture {cfg.architecture!r} with input contract "
            f"{record.input_contract!r} and overlap {cfg.overlap:g} has no graph, only 'brainfm' "
            "models without overlap have; use its checkpoint from Python"
        )
    if cfg.causal:
        raise ValueError(
            "a causal tokenizer remembers what came before, which a graph does not; use its "
            "checkpoint with 'brainfm stream'"
        )


class EncoderGraph(nn.Module):
    """Codes and, where there is a masked model, features.

    Parameters
    ----------
    model
        In eval mode, on the CPU.
    layer
        Of the masked model, as :meth:`brainfm.encoder.Encoder.encode` takes it.
    """

    def __init__(self, model: BrainModel, layer: Layer = -2) -> None:
        super().__init__()
        check_graph(model.record)
        self.tokenizer, self.masked_model = model.tokenizer, model.masked_model
        self.layer = layer
        self.record = _record(model, layer)

    def example(self) -> tuple[Tensor, ...]:
        """Return inputs of a graph: two stretches, the last window of each not whole."""
        cfg = self.tokenizer.cfg
        return example_inputs(2 * cfg.window + cfg.hop + 1)

    def forward(
        self, signal: Tensor, positions: Tensor, orientations: Tensor, types: Tensor
    ) -> tuple[Tensor, ...]:
        """Return codes (B, P, N, Q) and features (B, P, N, D) of the frames that begin within T.

        Parameters
        ----------
        signal
            (B, C, T), no more than :attr:`ExportedRecord.context` frames.
        positions, orientations, types
            Of the C sensors, (C, 3), (C, 3) and (C,).
        """
        cfg, n_times = self.tokenizer.cfg, signal.shape[-1]
        mask = torch.ones_like(types, dtype=torch.bool)
        one = positions[None], orientations[None], types[None], mask[None]
        sensors: Sensors = self.tokenizer.embed_sensors(*one)
        n_windows = (n_times + cfg.window - 1) // cfg.window
        padded = F.pad(signal, (0, n_windows * cfg.window - n_times))
        z = self.tokenizer.encode(padded.unflatten(-1, (n_windows, cfg.window)), sensors)
        # By index: a slice that happens to take everything would be another graph.
        kept = torch.arange((n_times + cfg.hop - 1) // cfg.hop, device=z.device)
        codes = self.tokenizer.quantizer(z.index_select(2, kept)).codes
        found = [codes]
        if self.masked_model is not None:
            found.append(self.masked_model.features(codes, self.layer))
        return tuple(values.transpose(1, 2) for values in found)


def example_inputs(n_times: int, n_batch: int = 2, n_channels: int = 7) -> tuple[Tensor, ...]:
    """Return inputs of a graph, of electrodes on a sphere and noise that is always the same."""
    generator = torch.Generator().manual_seed(0)
    places = F.normalize(torch.randn(n_channels, 3, generator=generator), dim=-1)
    signal = torch.randn(n_batch, n_channels, n_times, generator=generator)
    return signal, 0.09 * places, torch.zeros_like(places), torch.zeros(n_channels).long()


def _record(model: BrainModel, layer: Layer) -> ExportedRecord:
    record = model.record
    features = model.masked_model is not None
    return ExportedRecord(
        kind="encoder",
        outputs=("codes", "features") if features else ("codes",),
        tokenizer=record.tokenizer,
        processing=record.processing,
        context=context_frames(record.training, record.tokenizer.frames_per_window),
        layer=str(layer) if features else "",
        codes_digest=codes_digest(model.tokenizer),
        training=dict(record.training),
    )
