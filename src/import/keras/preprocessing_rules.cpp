#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "import/keras/importer.h"
#include "import/keras/products.h"
#include "import/keras/resampling.h"
#include "import/keras/rules.h"
#include "import/layers/random.h"
#include "operators/layers.h"
#include "operators/move.h"
#include "operators/selection.h"

namespace gatewright::keras {

namespace {

/// Noise and augmentation: when a model is used the input passes unchanged. All arguments
/// say how it changes in training; weights are states of random number generators.
void only_in_training(Call& call) {
    call.expect_inputs(1);
    call.settings.ignore_all();
    while (call.weights().next() != nullptr) {
    }
    call.set(call.operand(), call.input().kind);
}

/// The sample shape of a layer's masks: how far one word reaches.
Shape mask_shape(Call& call, const std::string& name) {
    const Shape& sample = call.operand().sample_shape();
    if (name.starts_with("SpatialDropout")) {
        const bool first =
            call.settings.choice("data_format", "channels_last",
                                 {"channels_last", "channels_first"}) == "channels_first";
        const auto spatial = static_cast<std::size_t>(name[name.size() - 2] - '0');
        if (sample.size() != spatial + 1) {
            call.refuse(
                fmt::format("its input has {} axes and not {}", sample.size() + 1, spatial + 2));
        }
        if (first) {
            return layers::mask_along(sample, 1);
        }
        Shape mask(sample.size(), 1);
        mask.back() = sample.back();
        return mask;
    }
    if (!call.settings.has("noise_shape")) {
        call.settings.ignore("noise_shape");
        return sample;
    }
    const Json& noise = call.settings.json("noise_shape");
    if (!noise.is_array() || noise.size() != sample.size() + 1 || !noise[0].is_null()) {
        call.settings.refuse("noise_shape", "it is not one entry for each axis, null for the batch",
                             "Let each sample have masks of its own.");
    }
    Shape mask;
    for (std::size_t i = 0; i < sample.size(); ++i) {
        const Json& extent = noise[i + 1];
        const bool one = extent == 1;
        if (!one && !extent.is_null() && extent != sample[i]) {
            call.settings.refuse("noise_shape", "an entry is neither 1 nor the input's extent");
        }
        mask.push_back(one ? 1 : sample[i]);
    }
    return mask;
}

/// Dropout. When a model is used the input passes unchanged, save under --monte-carlo.
void dropout(Call& call) {
    if (!call.importer().options().monte_carlo) {
        only_in_training(call);
        return;
    }
    call.expect_inputs(1);
    call.ignore_training();
    call.settings.ignore("seed");  // whoever uses the model gives the random words
    while (call.weights().next() != nullptr) {
    }
    const std::string& name = call.object().class_name;
    layers::Dropout fields;
    fields.rate = call.settings.real("rate");
    fields.mask = mask_shape(call, name);
    fields.alpha = name == "AlphaDropout";
    call.set(layers::drop(call, call.importer().imported(), call.operand(), fields).y,
             call.input().kind);
}

/// Noise of a normal distribution, which uniform words do not give exactly.
void gaussian(Call& call) {
    if (call.importer().options().monte_carlo) {
        call.refuse("its noise is of a normal distribution, which random words do not give exactly",
                    "Leave out --monte-carlo, or build the model with Dropout.");
    }
    only_in_training(call);
}

/// One number, or one for each position of the last axis.
Operand factor(Call& call, const char* key, double otherwise) {
    if (!call.settings.has(key)) {
        call.settings.ignore(key);
        return Call::number(otherwise);
    }
    Tensor tensor;
    tensor.values = call.settings.reals(key);
    for (double& value : tensor.values) {
        value = static_cast<double>(static_cast<float>(value));
    }
    const Shape& shape = call.operand().sample_shape();
    const auto size = static_cast<std::int64_t>(tensor.values.size());
    if (size != 1 && (shape.empty() || shape.back() != size)) {
        call.settings.refuse(key, "it has another number of values than the input has channels");
    }
    if (size != 1) {
        tensor.shape = {size};
    }
    return Call::tensor(std::move(tensor));
}

void rescaling(Call& call) {
    call.expect_inputs(1);
    const Operand scale = factor(call, "scale", 1);
    const Operand offset = factor(call, "offset", 0);
    call.set(call.add(call.multiply(call.operand(), scale), offset));
}

/// Whether each number is i, along a new last axis.
Operand one_hot(Call& call, const Operand& x, std::int64_t depth) {
    if (depth < 1 || depth > (1 << 20)) {
        call.refuse(fmt::format("it has {} classes", depth));
    }
    Shape shape = x.sample_shape();
    shape.push_back(1);
    Tensor classes = Tensor::filled({depth}, 0);
    for (std::size_t i = 0; i < classes.values.size(); ++i) {
        classes.values[i] = static_cast<double>(i);
    }
    return call.elementwise(operators::join_operator,
                            Attributes::of(operators::JoinFields{"equal"}),
                            {call.reshaped(x, shape, x.batch_axis), Call::tensor(classes)});
}

/// Integers as classes: themselves, or vectors of ones and zeros or counts.
Operand encoded(Call& call, Operand x, const std::string& mode, std::int64_t depth,
                const std::optional<Operand>& weights) {
    if (mode == "int") {
        return x;
    }
    const Shape shape = x.sample_shape();
    if (mode == "one_hot") {
        if (call.keras2() && !shape.empty() && !(shape.size() == 1 && shape.back() == 1)) {
            call.settings.refuse("output_mode", "Keras 2 has one_hot for one number a sample only");
        }
        if (!shape.empty() && shape.back() == 1) {
            x = call.reshaped(x, Shape(shape.begin(), shape.end() - 1), x.batch_axis);
        }
        return one_hot(call, x, depth);
    }
    if (mode != "multi_hot" && mode != "binary" && mode != "count") {
        call.settings.refuse("output_mode", fmt::format("the mode '{}' is not supported", mode));
    }
    if (shape.empty()) {
        call.refuse("with one number a sample it counts over the batch",
                    "Give the numbers an axis of their own.");
    }
    Operand y = one_hot(call, x, depth);
    if (weights) {
        Shape weight_shape = weights->sample_shape();
        weight_shape.push_back(1);
        y = call.multiply(y, call.reshaped(*weights, weight_shape, weights->batch_axis));
    }
    return call.reduced(y, mode == "count" ? "sum" : "max", {0}, false);
}

void category_encoding(Call& call) {
    call.expect_inputs(1);
    call.settings.expect_unset("sparse", "sparse results are not supported");
    const std::int64_t depth = call.settings.integer("num_tokens");
    const std::string mode = call.settings.text("output_mode", "multi_hot");
    std::optional<Operand> weights;
    if (const Argument* given = call.argument(1, "count_weights")) {
        if (!given->value || mode != "count") {
            call.refuse("weights of counts are no tensor, or nothing is counted", {},
                        "count_weights");
        }
        weights = given->value->operand;
    }
    Operand x = call.operand();
    if (call.input().kind == Kind::real) {
        x = call.function("truncate", x);
    }
    call.set(encoded(call, x, mode, depth, weights));
}

void discretization(Call& call) {
    call.expect_inputs(1);
    call.settings.expect_unset("sparse", "sparse results are not supported");
    call.settings.ignore({"num_bins", "epsilon"});  // how the boundaries were found
    std::vector<double> boundaries = call.settings.reals("bin_boundaries");
    std::vector<Operand> thresholds;
    for (const double boundary : boundaries) {
        thresholds.push_back(Call::number(static_cast<double>(static_cast<float>(boundary))));
    }
    if (!std::is_sorted(boundaries.begin(), boundaries.end())) {
        call.settings.refuse("bin_boundaries", "they do not rise");
    }
    const Operand bin = thresholds.empty()
                            ? call.multiply(call.operand(), Call::number(0))
                            : call.function("count_thresholds", call.operand(), thresholds);
    const std::string mode = call.settings.text("output_mode", "int");
    call.set(
        encoded(call, bin, mode, static_cast<std::int64_t>(boundaries.size()) + 1, std::nullopt),
        mode == "int" ? Kind::integer : Kind::real);
}

/// Where an image's rows and columns lie.
struct Image {
    std::int64_t row_axis = 0;
    std::int64_t column_axis = 1;
    std::int64_t rows = 0;
    std::int64_t columns = 0;
};

Image image_of(Call& call, const Operand& x, bool channels_first) {
    if (x.sample_shape().size() != 3) {
        call.refuse("its input is no batch of images");
    }
    Image image;
    image.row_axis = channels_first ? 1 : 0;
    image.column_axis = image.row_axis + 1;
    image.rows = x.sample_shape()[static_cast<std::size_t>(image.row_axis)];
    image.columns = x.sample_shape()[static_cast<std::size_t>(image.column_axis)];
    return image;
}

std::int64_t extent(Call& call, const char* key) {
    const std::int64_t value = call.settings.integer(key);
    if (value < 1 || value > (1 << 20)) {
        call.settings.refuse(key, "it is no extent of an image");
    }
    return value;
}

/// a * b / c as the framework has it: in float32, cut to an integer.
std::int64_t proportion(std::int64_t a, std::int64_t b, std::int64_t c) {
    return static_cast<std::int64_t>(static_cast<float>(a * b) / static_cast<float>(c));
}

Operand cut_to_ratio(Call& call, const Operand& x, const Image& image, std::int64_t height,
                     std::int64_t width) {
    const std::int64_t rows =
        std::max<std::int64_t>(1, std::min(image.rows, proportion(image.columns, height, width)));
    const std::int64_t columns =
        std::max<std::int64_t>(1, std::min(image.columns, proportion(image.rows, width, height)));
    const Operand cut = call.sliced(x, image.row_axis, (image.rows - rows) / 2, rows);
    return call.sliced(cut, image.column_axis, (image.columns - columns) / 2, columns);
}

Operand padded_to_ratio(Call& call, const Operand& x, const Image& image, std::int64_t height,
                        std::int64_t width, double fill) {
    const std::int64_t above =
        (std::max(image.rows, proportion(image.columns, height, width)) - image.rows) / 2;
    const std::int64_t left =
        (std::max(image.columns, proportion(image.rows, width, height)) - image.columns) / 2;
    operators::PadFields fields;
    fields.before.assign(3, 0);
    fields.before[static_cast<std::size_t>(image.row_axis)] = above;
    fields.before[static_cast<std::size_t>(image.column_axis)] = left;
    fields.after = fields.before;
    fields.mode = "zero";
    // A border of another value: zeros around what exceeds it.
    const Operand shifted =
        fill == 0 ? x : call.function("affine", x, {Call::number(1), Call::number(-fill)});
    const Operand padded =
        call.emit(operators::pad_operator, Attributes::of(fields), {shifted}, x.batch_axis).front();
    return fill == 0 ? padded
                     : call.function("affine", padded, {Call::number(1), Call::number(fill)});
}

void resizing(Call& call) {
    call.expect_inputs(1);
    call.ignore_training();
    const bool first = read_channels_first(call, true);
    const std::int64_t height = extent(call, "height");
    const std::int64_t width = extent(call, "width");
    const Resampling how{call.settings.text("interpolation", "bilinear"),
                         call.settings.flag("antialias", false), true};
    const bool cut = call.settings.flag("crop_to_aspect_ratio", false);
    const bool pad = call.settings.flag("pad_to_aspect_ratio", false);
    call.settings.choice("fill_mode", "constant", {"constant"});
    const double fill = call.settings.real("fill_value", 0);
    if (call.input().kind != Kind::real) {
        call.refuse("images of integers are rounded behind the resizing",
                    "Give the images as floating-point numbers.");
    }
    if (cut && pad) {
        call.settings.refuse("pad_to_aspect_ratio", "it cannot be with crop_to_aspect_ratio");
    }
    Operand x = call.operand();
    const Image image = image_of(call, x, first);
    if (cut) {
        x = cut_to_ratio(call, x, image, height, width);
    } else if (pad) {
        x = padded_to_ratio(call, x, image, height, width, fill);
    }
    call.set(resampled(call, x, how, {{image.row_axis, height}, {image.column_axis, width}}));
}

void center_crop(Call& call) {
    call.expect_inputs(1);
    call.ignore_training();
    const bool first = read_channels_first(call, true);
    const std::int64_t height = extent(call, "height");
    const std::int64_t width = extent(call, "width");
    const Operand& x = call.operand();
    const Image image = image_of(call, x, first);
    if (image.rows >= height && image.columns >= width) {
        const Operand cut = call.sliced(x, image.row_axis, (image.rows - height) / 2, height);
        call.set(call.sliced(cut, image.column_axis, (image.columns - width) / 2, width),
                 call.input().kind);
        return;
    }
    if (call.input().kind != Kind::real) {
        call.refuse("images of integers are rounded behind the resizing",
                    "Give the images as floating-point numbers.");
    }
    const Operand cut = cut_to_ratio(call, x, image, height, width);
    call.set(resampled(call, cut, {"bilinear", false, true},
                       {{image.row_axis, height}, {image.column_axis, width}}));
}

const RuleRow rows[] = {
    {"Dropout", &dropout, Masking::passes},
    {"SpatialDropout1D", &dropout, Masking::passes},
    {"SpatialDropout2D", &dropout, Masking::passes},
    {"SpatialDropout3D", &dropout, Masking::passes},
    {"AlphaDropout", &dropout, Masking::passes},
    {"GaussianDropout", &gaussian, Masking::passes},
    {"GaussianNoise", &gaussian, Masking::passes},
    {"ActivityRegularization", &only_in_training, Masking::passes},
    {"RandomFlip", &only_in_training},
    {"RandomRotation", &only_in_training},
    {"RandomZoom", &only_in_training},
    {"RandomContrast", &only_in_training},
    {"RandomTranslation", &only_in_training},
    {"RandomBrightness", &only_in_training},
    {"RandomHeight", &only_in_training},
    {"RandomWidth", &only_in_training},
    {"RandomShear", &only_in_training},
    {"RandomHue", &only_in_training},
    {"RandomSaturation", &only_in_training},
    {"RandomSharpness", &only_in_training},
    {"RandomGrayscale", &only_in_training},
    {"RandomColorJitter", &only_in_training},
    {"RandomColorDegeneration", &only_in_training},
    {"RandomPosterization", &only_in_training},
    {"RandomInvert", &only_in_training},
    {"RandomGaussianBlur", &only_in_training},
    {"RandomErasing", &only_in_training},
    {"RandomElasticTransform", &only_in_training},
    {"RandomPerspective", &only_in_training},
    {"MixUp", &only_in_training},
    {"CutMix", &only_in_training},
    {"RandAugment", &only_in_training},
    {"AugMix", &only_in_training},
    {"Rescaling", &rescaling, Masking::passes},
    {"CategoryEncoding", &category_encoding},
    {"Discretization", &discretization},
    {"Resizing", &resizing},
    {"CenterCrop", &center_crop},
};

}  // namespace

std::span<const RuleRow> preprocessing_rules() {
    return rows;
}

}  // namespace gatewright::keras
