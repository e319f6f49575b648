#include "base/threads.h"

#include <doctest/doctest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

namespace gatewright {

TEST_CASE("Each piece of work is done once, by however many threads") {
    for (const int threads : {1, 2, 7, 100}) {
        std::vector<std::atomic<int>> done(23);
        in_threads(23, threads, [&](std::int64_t i) { ++done[static_cast<std::size_t>(i)]; });
        for (const auto& times : done) {
            CHECK(times == 1);
        }
    }
    in_threads(0, 4, [](std::int64_t) { FAIL("there is nothing to do"); });
}

TEST_CASE("What a thread throws is thrown where it was started") {
    for (const int threads : {1, 3}) {
        CHECK_THROWS_AS(in_threads(50, threads,
                                   [](std::int64_t i) {
                                       if (i == 7) {
                                           throw std::invalid_argument("seven");
                                       }
                                   }),
                        std::invalid_argument);
    }
}

TEST_CASE("There is a processor") {
    CHECK(processors() >= 1);
}

}  // namespace gatewright
