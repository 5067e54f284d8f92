import numpy as np
import pytest

from brainfm.audio_features import AudioFeatureConfig, AudioFeatures, features_at
from brainfm.audio_file import cut_sound, resample_sound
from brainfm.feature_cache import FeatureCache
from brainfm.log_mel import log_mel

RATE = 16000


def noise(seconds, seed=0):
    return np.random.default_rng(seed).standard_normal(round(seconds * RATE)).astype(np.float32) / 9


def save_waveform_model(folder, kind):
    transformers = pytest.importorskip("transformers")
    import torch

    torch.manual_seed(0)
    config_class, model_class = {
        "wav2vec2": (transformers.Wav2Vec2Config, transformers.Wav2Vec2Model),
        "hubert": (transformers.HubertConfig, transformers.HubertModel),
    }[kind]
    config = config_class(
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        do_stable_layer_norm=True,
        feat_extract_norm="layer",
    )
    model_class(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder


def save_whisper(folder):
    transformers = pytest.importorskip("transformers")
    import torch

    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        d_model=16,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_source_positions=50,
        vocab_size=60,
        num_mel_bins=20,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    transformers.WhisperModel(config).save_pretrained(folder)
    transformers.WhisperFeatureExtractor(feature_size=20, chunk_length=1).save_pretrained(folder)
    return folder


def test_a_tone_is_in_its_band_and_louder_by_its_power():
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    values, times = log_mel(tone, RATE, n_bands=20)
    assert values.shape == (101, 20)
    np.testing.assert_allclose(times, np.arange(101) / 100)
    quiet, _ = log_mel(tone / 10, RATE, n_bands=20)
    # A tenth of the amplitude is a hundredth of the power.
    best = int(values[50].argmax())
    assert values[50, best] - quiet[50, best] == pytest.approx(np.log(100), abs=1e-3)
    # The edges of 20 bands are even in mel from 150 to 2840 mel; 1000 Hz are 1000 mel.
    centres = 150.5 + (2840.0 - 150.5) / 21 * np.arange(1, 21)
    assert best == int(np.abs(centres - 1000).argmin())


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert"])
def test_layers_of_a_waveform_model_are_averaged_at_its_frames(tmp_path, kind):
    folder = str(save_waveform_model(tmp_path, kind))
    sound = noise(1.0)

    def features(*layers):
        return AudioFeatures(AudioFeatureConfig(model=folder, layers=layers))(sound, RATE)

    values, times = features(1, 3)
    # 7 convolutions: one frame each 320 samples, the first sees samples 0 to 399.
    assert values.shape == (49, 16)
    np.testing.assert_allclose(times[:2] * RATE, [199.5, 519.5])
    single = [features(k, k)[0] for k in (1, 2, 3)]
    np.testing.assert_allclose(values, np.mean(single, axis=0), atol=1e-5)


def test_whisper_gives_a_frame_each_20_ms_and_none_of_its_padding(tmp_path):
    cfg = AudioFeatureConfig(model=str(save_whisper(tmp_path)), layers=(1, 2))
    values, times = AudioFeatures(cfg)(noise(0.5), RATE)
    assert values.shape == (25, 16)
    assert times[1] == pytest.approx(0.02)
    # Longer than what the model takes at once (here 1 s).
    values, times = AudioFeatures(cfg)(noise(2.5), RATE)
    assert values.shape == (125, 16)
    assert times[-1] == pytest.approx(2.48)


def test_what_lies_outside_of_a_cut_changes_nothing_to_the_bit(tmp_path):
    for cfg in (
        AudioFeatureConfig(),
        AudioFeatureConfig(model=str(save_waveform_model(tmp_path, "wav2vec2")), layers=(2, 3)),
    ):
        sound = noise(2.0)
        other = sound.copy()
        other[: RATE // 2], other[RATE:] = 0.3, noise(1.0, seed=1)
        compute = AudioFeatures(cfg)
        one, _ = compute(cut_sound(sound, RATE, 0.5, 1.0), RATE)
        two, _ = compute(cut_sound(other, RATE, 0.5, 1.0), RATE)
        np.testing.assert_array_equal(one, two)
        # And it would not be so without the cut.
        whole = [compute(each, RATE)[0] for each in (sound, other)]
        assert np.abs(whole[0] - whole[1]).max() > 0.01


def test_the_cache_is_asked_by_content(tmp_path, monkeypatch):
    sound, cache = noise(0.5), FeatureCache(tmp_path / "cache")
    compute = AudioFeatures(AudioFeatureConfig(), cache)
    first, times = compute(sound, RATE)
    made = []
    monkeypatch.setattr(AudioFeatures, "_make", lambda *a: made.append(a) or {})
    again, same_times = AudioFeatures(AudioFeatureConfig(), cache)(sound.copy(), RATE)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(times, same_times)
    assert not made
    for cfg, samples, rate in (
        (AudioFeatureConfig(mel_bands=41), sound, RATE),
        (AudioFeatureConfig(), sound, RATE // 2),
        (AudioFeatureConfig(), sound * np.float32(1.0001), RATE),
    ):
        with pytest.raises(KeyError):
            AudioFeatures(cfg, cache)(samples, rate)
    assert len(made) == 3


def test_another_model_is_another_digest_and_a_missing_one_is_said(tmp_path, monkeypatch):
    folder = save_waveform_model(tmp_path / "a", "wav2vec2")
    cfg = AudioFeatureConfig(model=str(folder), layers=(1, 2))
    digest = AudioFeatures(cfg).digest
    assert digest == AudioFeatures(cfg).digest
    assert digest != AudioFeatures(AudioFeatureConfig(model=str(folder), layers=(1, 3))).digest
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert AudioFeatures(cfg).digest != digest
    with pytest.raises(ValueError, match="at most 3"):
        AudioFeatures(AudioFeatureConfig(model=str(folder)))(noise(0.5), RATE)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(FileNotFoundError, match="no folder here and cannot be had"):
        _ = AudioFeatures(AudioFeatureConfig(model="nobody/nothing-of-the-kind")).digest


def test_a_stretch_too_long_for_a_model_is_refused(tmp_path):
    cfg = AudioFeatureConfig(model="unused", longest_s=0.2)
    with pytest.raises(ValueError, match="give sentences"):
        AudioFeatures(cfg)(noise(0.5), RATE)
    with pytest.raises(ValueError, match="layers must be"):
        AudioFeatureConfig(layers=(3, 2))


def test_features_between_frames_are_on_straight_lines():
    values = np.array([[0.0], [2.0], [4.0]], dtype=np.float32)
    got = features_at(values, np.array([0.0, 0.1, 0.2]), np.array([-1.0, 0.05, 0.1, 0.175, 9.0]))
    np.testing.assert_allclose(got[:, 0], [0, 1, 2, 3.5, 4], atol=1e-6)
    assert features_at(values[:1], np.zeros(1), np.arange(3.0)).shape == (3, 1)


def test_a_sound_keeps_its_length_in_seconds_when_resampled():
    tone = np.sin(2 * np.pi * 100 * np.arange(8000) / 8000)
    twice = resample_sound(tone, 8000, 16000)
    assert len(twice) == 16000
    expected = np.sin(2 * np.pi * 100 * np.arange(16000) / 16000)
    np.testing.assert_allclose(twice[1000:-1000], expected[1000:-1000], atol=1e-2)
