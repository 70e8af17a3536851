// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What the machine does to a thread that nobody interrupts: slices as long as the collector's, with none of its
// code. Ticks of the kernel's clock, other interrupts and a hypervisor that takes the processor away lengthen these as
// they do any other piece of work, and no count of context switches tells of them. So of the collector's record only
// what is longer or more frequent than here is the collector's.
#pragma once
#include <cstdint>

#include "bench/pause/recorder.h"

namespace pause_bench {

constexpr std::uint64_t k_slice_us = 3;

// So many threads read words of memory that is in no cache, as a marker does, in slices of k_slice_us.
series bare_slices(unsigned threads, double seconds);

}  // namespace pause_bench
