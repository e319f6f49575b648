#pragma once

#include <cstdint>
#include <string>

#include "network/imported_model.h"
#include "operators/core_model.h"
#include "types/array_source.h"

/// Inputs that hold uniform random words (import/layers/random.h): who does not give them has them
/// drawn.
namespace gatewright::project {

bool has_random_inputs(const network::Network& layers);

/// The arrays, with those of random inputs drawn that are not among them. Word k of the model, with
/// all its random inputs counted sample by sample and in order, is the highest 16 bits of step
/// k + 1 of splitmix64 from `seed`; so neither the number of samples nor other arrays change it.
/// Where the model has one other input, its array may be called `x`, as without random inputs.
NamedSources with_random_words(const network::ImportedModel& model, const NamedSources& arrays,
                               std::uint64_t seed);
NamedSources with_random_words(const operators::CoreModel& model, const NamedSources& arrays,
                               std::uint64_t seed);

}  // namespace gatewright::project
