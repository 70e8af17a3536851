// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Resident memory of this process as the kernel counts it. (getrusage is no help: its maximum survives exec, so that
// a child would report what its parent once had.)
#pragma once
#include <cstddef>

namespace depgraph {

// Begins a new peak at what is resident now, and returns that. Where the kernel does not allow it, the peak stays
// that of the whole process.
std::size_t reset_peak_rss();

std::size_t peak_rss_bytes();

}  // namespace depgraph
