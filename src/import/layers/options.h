#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "types/shape.h"

/// What a user asks of a reader beside the file, whatever the format.
namespace gatewright::layers {

class CustomLayer;

/// Converts one call of a layer of the user's own (import/layers/custom.h). Throws Failure.
using CustomRule = std::function<void(CustomLayer&)>;

struct ImportOptions {
    /// The shape of one sample of the model's only input, where the file leaves it open; empty: as
    /// the file has it.
    Shape input_shape;
    /// Dropout stays active: each layer draws from an input of its own (import/layers/random.h).
    bool monte_carlo = false;
    /// Rules of the user's own, by the name of a class or operator.
    std::map<std::string, CustomRule, std::less<>> rules;

    /// The rule registered for `full` ("package>Class", "domain::Operator"), or for `plain`
    /// ("Class") where no rule of the reader's own (`built_in`) has that name. Null: none.
    const CustomRule* rule(std::string_view full, std::string_view plain, bool built_in) const {
        auto at = rules.find(full);
        if (at == rules.end() && !built_in) {
            at = rules.find(plain);
        }
        return at == rules.end() ? nullptr : &at->second;
    }
};

/// The remedy for a class or operator that has no rule.
std::string how_to_register(std::string_view name);

}  // namespace gatewright::layers
