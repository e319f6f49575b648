"""Writes the peer's Verilog for a quantised MLP: run with a Python that has alkaid 0.8.2.

usage: alkaid_network.py NETWORK.npz FOLDER STAGES half_even|half_up

NETWORK.npz, which parallel.py writes, holds the integers of each layer: `kernel_i`, `bias_i`, their
fraction bits `kernel_frac_i`, `bias_frac_i`, the activation behind it `activation_i` (integer and
fraction bits of an unsigned type; absent behind the last layer) and the inputs' type `input` (sign,
integer and fraction bits). Prints one line about it.
"""

import sys

import numpy
from alkaid.codegen import RTLModel
from alkaid.trace import FVArray, HWConfig, trace


def network(data, rounding):
    """The inputs and outputs of the symbolic network."""
    sign, whole, frac = (int(v) for v in data["input"])
    size = data["kernel_0"].shape[0]
    inputs = FVArray.from_kif(
        numpy.full(size, sign), numpy.full(size, whole), numpy.full(size, frac), HWConfig(1, -1, -1)
    )
    x = inputs
    layer = 0
    while f"kernel_{layer}" in data:
        kernel = data[f"kernel_{layer}"] * 2.0 ** -int(data[f"kernel_frac_{layer}"])
        bias = data[f"bias_{layer}"] * 2.0 ** -int(data[f"bias_frac_{layer}"])
        x = x @ kernel + bias
        if f"activation_{layer}" in data:
            whole, frac = (int(v) for v in data[f"activation_{layer}"])
            x = x.quantize(0, whole, frac, overflow_mode="SAT", round_mode=rounding)
        layer += 1
    return inputs, x


def main():
    data = numpy.load(sys.argv[1])
    rounding = {"half_even": "RND_CONV", "half_up": "RND"}[sys.argv[4]]
    comb = trace(*network(data, rounding))
    model = RTLModel(comb, sys.argv[2], "peer", n_stages=int(sys.argv[3]))
    model.write()
    print(f"{sys.argv[3]} stages, {model.reg_bits} register bits, {len(comb.ops)} operations")


if __name__ == "__main__":
    main()
