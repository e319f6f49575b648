#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "network/network.h"

/// The layers on real numbers, in double, for many samples at once: what `predict --float` runs.
///
/// Each element of a tensor is a row of `lanes` samples. Layers with much arithmetic work on rows
/// (float_steps.cpp); any other one is computed sample by sample by its operator's reference, so
/// the engine knows every operator. Sums are those of the references, in the same order.
namespace gatewright::emulate {

class FloatEngine {
  public:
    explicit FloatEngine(const network::Network& layers);
    ~FloatEngine();
    FloatEngine(FloatEngine&&) noexcept;
    FloatEngine& operator=(FloatEngine&&) noexcept;

    /// Samples that one call computes.
    std::int64_t lanes() const;

    /// Computes lanes() samples. `load(i, rows)` fills input i as [element][lane]; `store(o, rows)`
    /// takes output o in the same form. Throws what a reference throws.
    void run(const std::function<void(std::size_t input, double* rows)>& load,
             const std::function<void(std::size_t output, const double* rows)>& store);

  private:
    struct Plan;
    std::unique_ptr<Plan> plan_;
};

}  // namespace gatewright::emulate
