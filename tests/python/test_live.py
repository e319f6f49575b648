"""Live models give the same network as their files; skipped without the frameworks."""

import pytest

gatewright = pytest.importorskip("gatewright", reason="the Python module is not built")


def test_what_is_no_model_is_told():
    with pytest.raises(TypeError, match="neither a path nor a model"):
        gatewright.load(3)
    with pytest.raises(TypeError, match="example_inputs"):
        gatewright.load("model.onnx", example_inputs=())


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras", reason="keras is not installed")


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="torch is not installed")


def small_keras_model(keras):
    keras.utils.set_random_seed(3)
    x = keras.Input((6, 4), name="points")
    y = keras.layers.Conv1D(5, 3, padding="same", activation="relu")(x)
    y = keras.layers.GRU(3)(y)
    return keras.Model(x, keras.layers.Dense(2, activation="softmax")(y), name="small")


def test_keras_model_is_its_file(keras, tmp_path):
    model = small_keras_model(keras)
    model.save(tmp_path / "model.keras")
    live = gatewright.load(model)
    assert live.text() == gatewright.load(tmp_path / "model.keras").text()
    assert "small" in live.text().splitlines()[0]


def test_keras_weights_are_those_of_now(keras):
    model = small_keras_model(keras)
    before = gatewright.load(model).text()
    model.layers[-1].set_weights([2 * w + 1 for w in model.layers[-1].get_weights()])
    assert gatewright.load(model).text() != before


def test_torch_module_is_its_file(torch, tmp_path):
    torch.manual_seed(3)
    nn = torch.nn
    module = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)).eval()
    x = torch.randn(7, 5)
    program = torch.export.export(module, (x,))
    torch.export.save(program, tmp_path / "model.pt2")
    text = gatewright.load(tmp_path / "model.pt2").text()
    live = gatewright.load(module, example_inputs=(x,))
    assert live.text() == text
    assert gatewright.load(program).text() == text
    (y,) = live.predict(x.numpy(), exact=False).values()
    with torch.no_grad():
        assert abs(y - module(x).numpy()).max() < 1e-5


def test_torch_module_needs_example_inputs(torch):
    with pytest.raises(TypeError, match="example_inputs"):
        gatewright.load(torch.nn.Linear(2, 1).eval())
