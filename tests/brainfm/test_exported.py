"""Exported graphs say what the checkpoint says, for any device and any length."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from brainfm.checkpoints import save_checkpoint
from brainfm.cli import main
from brainfm.encoder import Encoder
from brainfm.exported_file import read_pt2_record, write_graph
from brainfm.exported_graph import EncoderGraph, check_graph
from brainfm.exported_record import ExportedRecord

pytest.importorskip("onnxscript")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from brainfm.exported import ExportedModel  # noqa: E402
from brainfm.onnx_weights import rounded, store_in_int8  # noqa: E402

DEVICES = {
    "one electrode": ["eeg"],
    "cap": ["eeg"] * 31,
    "MEG and EEG": ["mag"] * 3 + ["planar"] * 4 + ["eeg"] * 2,
}


@pytest.fixture(scope="module")
def graph(tiny_model):
    return EncoderGraph(tiny_model()).eval()


@pytest.fixture(scope="module")
def file(tiny_model, tmp_path_factory):
    """Write the graph by the command, once: tracing takes seconds."""
    folder = tmp_path_factory.mktemp("graph")
    path = folder / "tiny.onnx"
    save_checkpoint(tiny_model(), folder / "tiny")
    assert main(["export", str(folder / "tiny"), "--format", "onnx", "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def exported(file):
    return ExportedModel(file, threads=1)


def eager(graph, signal, sensors):
    given = (signal, sensors.positions, sensors.orientations)
    inputs = [torch.from_numpy(np.asarray(x, dtype=np.float32)) for x in given]
    with torch.no_grad():
        return graph(*inputs, torch.from_numpy(sensors.codes).long())


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("n_times", [1, 32, 128, 129, 384])
def test_onnx_gives_the_same_for_any_device_length_and_batch(
    graph, exported, head_sensors, device, n_times
):
    sensors = head_sensors(DEVICES[device])
    rng = np.random.default_rng(n_times)
    signal = rng.standard_normal((3, len(sensors), n_times)).astype(np.float32)
    found = exported(signal, sensors)
    codes, features = eager(graph, signal, sensors)
    assert found["codes"].shape == (3, -(-n_times // 32), 3, 2)
    # A latent halfway between two codes may fall to either; none does here.
    assert np.array_equal(found["codes"], codes.numpy())
    assert np.abs(found["features"] - features.numpy()).max() < 1e-4


@pytest.mark.slow
def test_a_recording_gives_what_the_encoder_gives(tiny_model, exported, head_sensors, brain_noise):
    sensors = head_sensors(["eeg"] * 6)
    data = brain_noise(6, 5.3), 256.0, sensors
    encoder = Encoder(tiny_model())
    features, codes = encoder.encode(data), encoder.tokenize(data)
    found = exported.encode(data)
    assert exported.record.context == 12  # several stretches, the last one short
    assert np.array_equal(exported.tokenize(data).values, codes.values)
    assert exported.tokenize(data).values.dtype == np.uint16
    assert np.array_equal(found.times, features.times)
    assert np.abs(found.values - features.values).max() < 1e-4


@pytest.mark.slow
def test_bad_channels_have_no_say(exported, head_sensors, brain_noise):
    sensors = head_sensors(["eeg"] * 6)
    x = brain_noise(6, 4.0)
    x[2] = 0.0  # flat
    without = np.delete(np.arange(6), 2)
    whole = exported.tokenize((x, 256.0, sensors)).values
    assert np.array_equal(
        whole, exported.tokenize((x[without], 256.0, sensors.select(without))).values
    )


@pytest.mark.slow
def test_eight_bits_keep_codes_and_nearly_keep_features(graph, file, exported, head_sensors):
    proto = onnx.load(file)
    assert store_in_int8(proto, graph) == 2  # the feed-forward of the one block before the layer
    small = file.with_name("int8.onnx")
    small.write_bytes(proto.SerializeToString())
    assert small.stat().st_size < file.stat().st_size - 2 * 24 * 96 * 2
    sensors = head_sensors(["eeg"] * 9)
    signal = np.random.default_rng(0).standard_normal((2, 9, 384))
    before, after = exported(signal, sensors), ExportedModel(small, threads=1)(signal, sensors)
    assert np.array_equal(before["codes"], after["codes"])
    cosine = (before["features"] * after["features"]).sum(-1)
    assert 0.999 < cosine.min() < 1 - 1e-7


def test_rounded_weights_are_off_by_half_a_step_at_most():
    x = np.random.default_rng(0).standard_normal((30, 50)).astype(np.float32)
    x[3] = 0.0
    for axis, steps in ((0, lambda s: s[:, None]), (1, lambda s: s)):
        packed, scale = rounded(x, axis)
        assert np.abs(packed * steps(scale) - x).max() <= 0.501 * scale.max()
        assert np.abs(packed).max() == 127
    assert rounded(x, 0)[1][3] == np.float32(1 / 127)


@pytest.mark.slow
def test_a_graph_of_torch_gives_the_same_and_no_file_names_this_machine(
    graph, file, head_sensors, tmp_path, root
):
    path = write_graph(graph, graph.example(), graph.record, tmp_path / "tiny.pt2", kind="torch")
    assert read_pt2_record(path).outputs == ("codes", "features")
    run = torch.export.load(path).module()
    for types, n_times in ((["eeg"] * 2, 64), (["mag"] * 5, 384)):
        sensors = head_sensors(types)
        signal = np.random.default_rng(1).standard_normal((1, len(types), n_times))
        wanted = eager(graph, signal, sensors)
        inputs = [signal, sensors.positions, sensors.orientations]
        found = run(*(torch.from_numpy(x).float() for x in inputs), torch.tensor(sensors.codes))
        assert torch.equal(found[0], wanted[0])
        assert torch.allclose(found[1], wanted[1], atol=1e-5)
    for written in (path, file):
        assert str(root).encode() not in written.read_bytes()


@pytest.mark.slow
def test_what_an_encoder_does_not_do_is_said(exported, head_sensors, brain_noise, tmp_path):
    data = brain_noise(4, 3.0), 256.0, head_sensors(["eeg"] * 4)
    with pytest.raises(ValueError, match="an encoder that gives codes and features, not output"):
        exported.predict(data, [1.0])
    with pytest.raises(ValueError, match="no usable channel"):
        exported(np.zeros((1, 0, 64)), head_sensors(["eeg"]).select(np.zeros(0, dtype=int)))
    assert exported.record.opset == 18
    assert exported.record.software["torch"] == torch.__version__


def test_foreign_files_are_refused_in_one_line(tmp_path):
    path = tmp_path / "other.onnx"
    with pytest.raises(FileNotFoundError, match=r"other\.onnx is not there"):
        ExportedModel(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="no readable ONNX file") as error:
        ExportedModel(path)
    assert "\n" not in str(error.value)
    number = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    other = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    nodes = [onnx.helper.make_node("Identity", ["x"], ["y"])]
    opset = [onnx.helper.make_opsetid("", 18)]
    proto = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "g", [number], [other]), opset_imports=opset, ir_version=10
    )
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ValueError, match="not written by 'brainfm export"):
        ExportedModel(path)


def test_a_record_comes_back_and_a_newer_one_is_refused(graph):
    record = replace(graph.record, software={"torch": "2"}, int8=True)
    assert ExportedRecord.loads(record.dumps(), "file") == record
    with pytest.raises(ValueError, match="another format"):
        ExportedRecord.loads(record.dumps().replace('"format": 1', '"format": 2'), "file")
    with pytest.raises(ValueError, match="file is damaged"):
        ExportedRecord.loads("{", "file")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"causal": True}, "remembers what came before"),
        ({"architecture": "brainomni"}, "'brainomni'"),
        ({"overlap": 0.5}, "overlap 0.5"),
    ],
)
def test_models_without_a_graph_are_refused(tiny_model, changes, why):
    with pytest.raises(ValueError, match=why):
        check_graph(tiny_model(**changes).record)


def test_the_graph_is_the_encoder(graph, tiny_model, head_sensors):
    sensors = head_sensors(["eeg"] * 5)
    signal = torch.randn(2, 5, 130, generator=torch.Generator().manual_seed(0))
    codes, features = eager(graph, signal.numpy(), sensors)
    model = tiny_model()
    one = Encoder(model).embed(sensors)
    padded = F.pad(signal, (0, 256 - 130))
    for k in range(2):
        wanted = model.tokenizer.tokenize(padded[k : k + 1], one)[:, :, :5]
        assert torch.equal(codes[k], wanted[0].transpose(0, 1))
        assert torch.allclose(
            features[k], model.masked_model.features(wanted)[0].transpose(0, 1), atol=1e-6
        )
