"""A small folder as BrainOmni is published, made from a model of ours, and what the model gives."""

import json
import re

import torch
import torch.nn.functional as F
from einops import rearrange

import brainfm
from brainfm.checkpoints import load_checkpoint
from brainfm.masked_model import MaskedModelConfig
from brainfm.rotary import rotary_table
from brainfm.seanet import TransposedConv

TYPES = {"eeg": 0, "mag": 1, "planar": 2, "axial": 2}


MASKED = MaskedModelConfig(width=24, n_heads=4, depth=2, architecture="brainomni", rotary="ladder")


TOKENIZER_NAMES = (
    (r"^sensor_embedding\.kind\.", "sensor_embed.sensor_embedding_layer."),
    (r"^sensor_embedding\.position\.", "sensor_embed.pos_embedding_layer."),
    (r"^sensor_embedding\.mix\.", "sensor_embed.aggregate_mlp.layer."),
    (r"^sensor_embedding\.norm\.", "sensor_embed.norm."),
    (r"^gather\.queries$", "encoder.neuros"),
    (r"^gather\.key\.", "encoder.k_proj."),
    (r"^gather\.value\.", "encoder.backwardsolution.v."),
    (r"^gather\.out\.", "encoder.backwardsolution.proj."),
    (r"^spread\.key_value\.", "decoder.forwardsolution.kv."),
    (r"^spread\.out\.", "decoder.forwardsolution.proj."),
    (r"\.conv\.", ".conv.conv."),
    (r"\.narrow\.", ".block.1."),
    (r"\.widen\.", ".block.3."),
    (r"^encoder\.layers\.", "encoder.seanet_encoder.model."),
    (r"^decoder\.layers\.", "decoder.seanet_decoder.model."),
    (r"\.parametrizations\.weight\.original0$", ".weight_g"),
    (r"\.parametrizations\.weight\.original1$", ".weight_v"),
    (r"\.initted$", ".inited"),
)


MASKED_NAMES = (
    (r"\.attention_norm\.", ".pre_attn_norm."),
    (r"\.mlp_norm\.", ".pre_ff_norm."),
    (r"\.(time|source)\.out\.", r".\1.proj."),
    (r"\.time\.", ".time_attn."),
    (r"\.source\.", ".spatial_attn."),
    (r"\.mlp\.", ".ff.layer."),
    (r"^head\.", "predict_head."),
    (r"^project\.", "projection."),
)


def renamed(name, rules):
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def published_tokenizer(tokenizer):
    state = {}
    transposed = {
        f"decoder.layers.{i}."
        for i, layer in enumerate(tokenizer.decoder.layers)
        if isinstance(layer, TransposedConv)
    }
    for name, value in tokenizer.state_dict().items():
        new = renamed(name, TOKENIZER_NAMES)
        if name.startswith(tuple(transposed)):
            new = new.replace(".conv.conv.", ".convtr.convtr.")
        if "_codebook." in name:
            value = value.float().view(1) if name.endswith("initted") else value[0]
        state[new] = value
    return state


def published_masked(masked, *, exported=False):
    state = {renamed(name, MASKED_NAMES): value for name, value in masked.state_dict().items()}
    cos, sin = rotary_table(50, 1, masked.cfg.width // 2, "ladder")
    table = cos[:, 0] if exported else torch.complex(cos[:, 0], sin[:, 0])
    for block in range(masked.cfg.depth):
        prefix = f"blocks.{block}.time_attn.rope_embedding_layer."
        state[prefix + "rotate"] = table
        state[prefix + "freqs"] = table[1].real.acos()
    return state


def settings_of(record):
    t, m = record.tokenizer, record.masked_model
    values = {
        "window_length": t.window,
        "n_filters": t.n_filters,
        "ratios": list(t.ratios),
        "kernel_size": t.kernel_size,
        "last_kernel_size": t.last_kernel_size,
        "n_dim": t.width,
        "n_neuro": t.n_sources,
        "n_head": t.n_heads,
        "dropout": 0.0,
        "codebook_dim": t.quantizer.codebook_dim or t.width,
        "codebook_size": t.quantizer.codebook_size,
        "num_quantizers": t.quantizer.n_quantizers,
        "rotation_trick": True,
        "quantize_optimize_method": "ema",
    }
    if m is not None:
        values |= {
            "overlap_ratio": t.overlap,
            "lm_dim": m.width,
            "lm_head": m.n_heads,
            "lm_depth": m.depth,
            "lm_dropout": m.dropout,
            "mask_ratio": 0.5,
            "num_quantizers_used": m.predicted_levels,
        }
    return values


class Published:
    """A published folder and the model of ours that it was made from."""

    def __init__(self, model, folder):
        self.model, self.folder = model, folder
        folder.mkdir(exist_ok=True)
        self.settings = settings_of(model.record)
        self.state = published_tokenizer(model.tokenizer)
        self.name = "BrainTokenizer.pt"
        masked = model.masked_model
        if masked is not None:
            self.name = "BrainOmni.pt"
            outer = published_masked(masked, exported=masked.cfg.rotary == "cosine_only")
            self.state = {f"tokenizer.{k}": v for k, v in self.state.items()} | outer
        self.write(self.state)

    def write(self, content):
        torch.save(content, self.folder / self.name)
        self.configure()

    def configure(self, **changes):
        text = json.dumps(self.settings | changes)
        (self.folder / "model_cfg.json").write_text(text)


def example(tokenizer, n_times=400, seed=0):
    """x (B, C, T), pos (B, C, 6), sensor_type (B, C)."""
    generator = torch.Generator().manual_seed(seed)
    places = F.normalize(torch.randn(2, 5, 3, generator=generator), dim=-1)
    types = torch.tensor([0, 0, 1, 2, 2]).expand(2, 5)
    return {
        "x": torch.randn(2, 5, n_times, generator=generator),
        "pos": torch.cat([places, places * (types > 0)[..., None]], dim=-1),
        "sensor_type": types,
    }


@torch.no_grad()
def outputs(model, inputs, *, overlap=0.25):
    """What the released code would store, computed by the model that was published."""
    t, x = model.tokenizer, inputs["x"]
    places, directions = inputs["pos"].split(3, -1)
    mask = torch.ones(x.shape[:2], dtype=torch.bool)
    sensors = t.embed_sensors(places, directions, inputs["sensor_type"], mask)
    whole = x[..., : x.shape[-1] // t.cfg.window * t.cfg.window]
    plain = t.quantizer(t.encode(t.cut(whole, 0.0), sensors))
    dense = t.quantizer(t.encode(t.cut(x, overlap), sensors))
    windows = t.cut(whole, 0.0)
    frames = t.encoder(rearrange(windows, "b c w l -> (b c w) l"))
    frames = rearrange(frames, "(b c w) p d -> b c (w p) d", b=2, c=5)
    stored = {
        "sensor_embedding": sensors.embedding,
        "encoder_output": rearrange(
            t.gather(frames, *sensors), "b n (w p) d -> b n w p d", w=windows.shape[2]
        ),
        "features_overlap_0": plain.values,
        "codes_overlap_0": plain.codes,
        "features_overlap_25": dense.values,
        "codes_overlap_25": dense.codes,
        "target": (windows - windows.mean(-1, keepdim=True))
        / (windows.std(-1, keepdim=True) + 1e-6),
        "reconstruction": t.decode(plain.values, sensors),
    }
    if model.masked_model is not None:
        stored["hidden"] = model.masked_model.features(dense.codes)
        stored["logits"] = model.masked_model(dense.codes).flatten(-2)
    return stored


def same(published, out):
    """Import and compare all outputs to the byte."""
    loaded = load_checkpoint(brainfm.import_brainomni(published.folder, out))
    inputs = example(published.model.tokenizer)
    expected, found = (outputs(m, inputs) for m in (published.model, loaded))
    return all(torch.equal(expected[name], found[name]) for name in expected)
