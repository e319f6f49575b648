#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "types/npy.h"

/// Arrays of NumPy and those of the commands.
namespace gatewright {

namespace nb = nanobind;

using InputArray = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;
using OutputArray = nb::ndarray<nb::numpy>;

DType dtype_of(const InputArray& array);
Shape shape_of(const InputArray& array);
NpyArray from_python(const InputArray& array);
/// The numpy array takes the memory over.
OutputArray to_python(NpyArray array);

}  // namespace gatewright
