#include <doctest/doctest.h>

#include "operators/layers.h"
#include "operators/lowering.h"

using namespace gatewright;
using namespace gatewright::operators;
using network::Attributes;
using network::Network;

namespace {

Network with_input(const Shape& shape) {
    Network n;
    n.add_input("x", {shape, std::nullopt}, {"model", "x", "Test", ""});
    return n;
}

}  // namespace

TEST_CASE("reductions over no elements are refused, by a diagnostic") {
    for (const char* kind : {"sum", "mean", "max", "min"}) {
        for (const Shape& axes : {Shape{1}, Shape{0, 1}}) {
            Network n = with_input({3, 0});
            CHECK_THROWS_AS(n.add(reduce_operator, Attributes::of(ReduceFields{kind, axes, false}),
                                  {{0, 0}}, {"model", "mean", "Test", ""}),
                            Failure);
        }
        // The other axes may be empty: there are no rows then.
        Network n = with_input({3, 0});
        n.add(reduce_operator, Attributes::of(ReduceFields{kind, {0}, false}), {{0, 0}}, {});
        CHECK(n.nodes().back().types.front().shape == Shape{0});
    }
    Network n = with_input({0});
    CHECK_THROWS_AS(n.add(argmax_operator, Attributes::of(ArgLayerFields{}), {{0, 0}}, {}),
                    Failure);
    CHECK_THROWS_AS(n.add(pool_operator,
                          Attributes::of(PoolFields{"average", {0}, {1}, {1}, {0}, {0}, false, {}}),
                          {{0, 0}}, {}),
                    Failure);
}
