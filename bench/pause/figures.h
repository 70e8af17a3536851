// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The charts of the page, each with its heading, legend and explanation.
#pragma once
#include <string>

#include "bench/pause/experiment.h"

namespace pause_bench {

// Lap lengths of one kind: with the collector against control. Empty if there are none.
std::string latency_figure(const experiment& from, lap_kind kind);
// Of the last round with the collector: heap and goal over time, cycles shaded, assists below.
std::string heap_figure(const experiment& from);
// Of the last round: every long lap as a dot.
std::string long_lap_figure(const experiment& from);

}  // namespace pause_bench
