#include "project/wires.h"

#include <doctest/doctest.h>

#include <map>

using namespace gatewright;
using namespace gatewright::project;

namespace {

std::map<WireProof, int> proofs(const std::string& text, const std::vector<Interval>& inputs,
                                const std::vector<KnownRange>& known = {}) {
    std::map<WireProof, int> out;
    for (const WireProof proof : find_wire_ranges(bits::from_text(text), inputs, known).proofs) {
        ++out[proof];
    }
    return out;
}

}  // namespace

TEST_CASE("sums that forget that their terms depend are proven by linear forms") {
    // 3 x - 2 x fits four bits, though the difference of two intervals does not.
    const std::string text =
        "function f\ninput x : s4\n%0 = input 0 : s4\n%1 = shl %0 1 : s5\n%2 = add %0 %1 : s6\n"
        "%3 = sub %2 %1 : s4\noutput y = %3\n";
    CHECK(proofs(text, {{-8, 7}}) ==
          std::map<WireProof, int>{{WireProof::interval, 3}, {WireProof::linear_form, 1}});
    const WireRanges ranges = find_wire_ranges(bits::from_text(text), {{-5, 3}});
    CHECK(ranges.ranges[2] == Interval{-15, 9});
    CHECK(ranges.ranges[3] == Interval{-5, 3});
}

TEST_CASE("a wire that cuts its result short is found, and what is known of it is believed") {
    const std::string text =
        "function f\ninput x : s4\ninput z : s4\n%0 = input 0 : s4\n%1 = input 1 : s4\n"
        "%2 = add %0 %1 : s4\n%3 = shl %2 1 : s4\noutput y = %3\n";
    CHECK(proofs(text, {{-8, 7}, {-8, 7}})[WireProof::reduced] == 2);
    CHECK(proofs(text, {{-2, 1}, {-2, 1}})[WireProof::reduced] == 0);
    // The sum may wrap; of its result a smaller range is known.
    CHECK(proofs(text, {{-8, 7}, {-8, 7}}, {{2, {-4, 3}}})[WireProof::reduced] == 1);
}

TEST_CASE("a product of wires and a table have ranges by intervals") {
    const std::string text =
        "function f\ninput x : u2\ntable t : s4 = -3 5 1 2\n%0 = input 0 : u2\n"
        "%1 = read %0 0 : s4\n%2 = mul %1 %0 : s5\noutput y = %2\n";
    const WireRanges ranges = find_wire_ranges(bits::from_text(text), {{0, 3}});
    CHECK(ranges.ranges[1] == Interval{-3, 5});
    CHECK(ranges.ranges[2] == Interval{-9, 15});
    CHECK(ranges.proofs[2] == WireProof::interval);
}
