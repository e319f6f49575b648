"""A program of torch.export without an argument that PyTorch has no default for is an error that
names it: no default of a reader is taken for it."""

import layer_cases
import pytest
from argument_models import TorchModel

gatewright = pytest.importorskip("gatewright", reason="the Python module is not built")

if not layer_cases.LAYERS.is_dir():
    pytest.skip("../shared/layers is not present", allow_module_level=True)

# A case of ../shared/layers, the operator in it, and arguments of that.
REQUIRED = [
    ("torch_softmax_05", "aten.softmax", ["dim"]),
    ("torch_softmax_05_core", "aten._softmax", ["dim", "half_to_float"]),
    ("torch_scatter_01", "aten.scatter_add", ["dim", "index", "src"]),
    (
        "torch_fake_quantize_tensor_01",
        "aten.fake_quantize_per_tensor_affine",
        ["scale", "zero_point", "quant_min", "quant_max"],
    ),
]


def case_of(name):
    (case,) = (case for case in layer_cases.read_manifest("torch") if case["name"] == name)
    return layer_cases.LAYERS / "torch" / case["name"] / "model.pt2"


@pytest.mark.parametrize(
    ("case", "operator", "argument"),
    [(case, operator, name) for case, operator, names in REQUIRED for name in names],
)
def test_it_is_named(case, operator, argument, tmp_path):
    model = TorchModel(case_of(case), None, tmp_path)
    assert gatewright.load(*model.written(0, None, None)).text()
    (node,) = (n for n in model.nodes if model.layer_of(n) == operator)
    node["inputs"] = [a for a in node["inputs"] if a["name"] != argument]
    with pytest.raises(gatewright.Error, match=f"attribute '{argument}': this argument is missing"):
        gatewright.load(*model.written(0, None, None))


@pytest.mark.parametrize(("zero_point", "sound"), [(127, True), (128, False), (-129, False)])
def test_a_zero_point_is_a_level(zero_point, sound, tmp_path):
    model = TorchModel(case_of("torch_fake_quantize_tensor_01"), None, tmp_path)
    place = model.place_of("aten.fake_quantize_per_tensor_affine", "zero_point")
    files = model.written(place, "zero_point", zero_point)
    if sound:
        assert gatewright.load(*files).text()
    else:
        with pytest.raises(gatewright.Error, match="attribute 'zero_point': it is .*quant_m"):
            gatewright.load(*files)
