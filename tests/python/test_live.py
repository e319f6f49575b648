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


def instance_norm(torch):
    return torch.nn.InstanceNorm1d(4, affine=True, track_running_stats=True), (4, 5)


def attention_with_zeros(torch):
    class Attention(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.MultiheadAttention(4, 2, batch_first=True, add_zero_attn=True)

        def forward(self, x):
            return self.inner(x, x, x)[0]

    return Attention(), (5, 4)


def written_parts(torch):
    class Parts(torch.nn.Module):
        def forward(self, x):
            y = x.clone()
            y[:, 0] = 0.5
            y[:, 1:, [0, 2]] *= 2
            y[x > 1] = -1.0
            return y @ torch.ones(4)

    return Parts(), (3, 4)


def circular_convolution(torch):
    return torch.nn.Conv1d(2, 3, 2, padding="same", padding_mode="circular"), (2, 5)


@pytest.mark.parametrize("decomposed", [False, True])
@pytest.mark.parametrize(
    "model", [instance_norm, attention_with_zeros, written_parts, circular_convolution]
)
def test_a_free_batch_is_followed(torch, model, decomposed):
    torch.manual_seed(5)
    module, shape = model(torch)
    for parameter in module.parameters():
        parameter.data = torch.randn_like(parameter)
    x = torch.randn(6, *shape)
    free = {0: torch.export.Dim("batch")}
    program = torch.export.export(module.eval(), (x[:2],), dynamic_shapes=(free,))
    if decomposed:
        program = program.run_decompositions()
    (y,) = gatewright.load(program).predict(x.numpy(), exact=False).values()
    with torch.no_grad():
        assert abs(y - module(x).numpy()).max() < 1e-5


@pytest.mark.parametrize("decomposed", [False, True])
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_each_sample_is_a_bag(torch, mode, decomposed):
    torch.manual_seed(5)
    bags = torch.nn.EmbeddingBag(9, 3, mode=mode).eval()
    rows = torch.randint(0, 9, (6, 4))
    free = {0: torch.export.Dim("batch")}
    program = torch.export.export(bags, (rows[:2],), dynamic_shapes=(free,))
    if decomposed:
        program = program.run_decompositions()
    (y,) = gatewright.load(program).predict(rows.numpy(), exact=False).values()
    with torch.no_grad():
        assert abs(y - bags(rows).numpy()).max() < 1e-6


def test_the_batch_of_an_output_is_first(torch):
    x = torch.randn(4, 5, 3)
    free = {0: torch.export.Dim("batch")}
    program = torch.export.export(
        torch.nn.GRU(3, 2, batch_first=True).eval(), (x,), dynamic_shapes=(free,)
    )
    with pytest.raises(gatewright.Error, match="the batch is its axis 1, and must be the first"):
        gatewright.load(program)


@pytest.mark.parametrize("contiguous", [False, True])
def test_strides_count_in_the_memory(torch, contiguous):
    class Strided(torch.nn.Module):
        def forward(self, x):
            turned = 2 * x.t()
            turned = turned.contiguous() if contiguous else turned
            return turned.as_strided((3, 2), (2, 1))

    x = torch.randn(3, 4)
    program = torch.export.export(Strided(), (x,))
    if contiguous:
        (y,) = gatewright.load(program).predict(x.numpy(), exact=False).values()
        assert (y == Strided()(x).numpy()).all()
    else:
        with pytest.raises(gatewright.Error, match="attribute 'self'.*contiguous"):
            gatewright.load(program)


def test_what_quantize_makes_of_a_model(keras):
    import numpy

    layers = keras.layers
    keras.utils.set_random_seed(3)
    x = keras.Input((4, 6))
    y = layers.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d", activation="relu")(x)
    model = keras.Model(x, layers.Dense(3)(y))
    model.quantize("int8")
    samples = numpy.random.default_rng(7).normal(size=(20, 4, 6)).astype("float32")
    (own,) = gatewright.load(model).predict(samples, exact=False).values()
    assert abs(own - model.predict(samples, verbose=0)).max() < 1e-5
    wrapped = keras.Sequential([x, layers.TimeDistributed(layers.Dense(2))])
    wrapped.quantize("int8")
    with pytest.raises(gatewright.Error, match="attribute 'layer'.*not quantised"):
        gatewright.load(wrapped)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_within_its_roundings(keras, policy):
    import numpy

    layers = keras.layers
    keras.utils.set_random_seed(3)
    x = keras.Input((8, 8, 2))
    y = layers.Conv2D(4, 3, activation="relu", dtype=policy)(x)
    y = layers.BatchNormalization(dtype=policy)(y)
    y = layers.Flatten(dtype=policy)(layers.MaxPooling2D(dtype=policy)(y))
    model = keras.Model(x, layers.Dense(3, dtype=policy)(y))
    samples = numpy.random.default_rng(7).normal(size=(20, 8, 8, 2)).astype("float32")
    (own,) = gatewright.load(model).predict(samples, exact=False).values()
    expected = numpy.asarray(model.predict(samples, verbose=0), dtype="float32")
    bits = {"mixed_float16": 10, "mixed_bfloat16": 7}[policy]
    assert abs(own - expected).max() < 4 * 2**-bits * abs(expected).max()


def test_operations_of_keras_are_those_of_keras(keras):
    import numpy

    ops = keras.ops
    x = keras.Input((4, 6))
    heads = ops.reshape(x, (-1, 4, 2, 3))
    results = [
        ops.argmax(x, 2, keepdims=True),
        ops.argsort(x, 1),
        ops.cumsum(x, -1),
        ops.diff(x, 2, 1),
        ops.divide_no_nan(x, ops.round(x)),
        ops.dot_product_attention(heads, ops.flip(heads, 1), heads, scale=0.3, is_causal=True),
        ops.layer_normalization(x, axis=1, epsilon=0.1, gamma=numpy.arange(4, dtype="float32")),
        ops.moments(x, [1, 2])[1],
        ops.rms_normalization(x, scale=numpy.arange(6, dtype="float32"), axis=1),
        ops.take_along_axis(x, ops.argsort(x, 1), 1),
        ops.tensordot(x, numpy.arange(12, dtype="float32").reshape(2, 6), [[2], [1]]),
        ops.dot(x, numpy.arange(24, dtype="float32").reshape(2, 6, 2)),
        ops.glu(x, 1),
        ops.hard_shrink(x, 1.0),
        ops.logsumexp(x, (1, 2)),
        ops.moveaxis(x, -1, 1),
        ops.normalize(x, 1, 3),
        ops.one_hot(ops.argmin(x, 2), 6),
        ops.roll(x, (1, -2), (1, 2)),
        ops.squareplus(x, 2.0),
        ops.take(x, numpy.array([-1, 0, 0]), axis=-1),
        ops.threshold(x, 0.5, -7.0),
        ops.top_k(x, 3)[1],
        ops.tril(x, -1),
        ops.unstack(x, axis=2)[3],
    ]
    model = keras.Model(x, results)
    samples = numpy.random.default_rng(7).normal(size=(3, 4, 6)).astype("float32")
    computed = gatewright.load(model).predict(samples, exact=False).values()
    for own, expected in zip(computed, model.predict(samples, verbose=0), strict=True):
        assert own.shape == expected.shape
        assert abs(own - expected).max() < 1e-4
