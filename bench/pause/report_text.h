// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What the benchmark prints.
#pragma once
#include <string>

#include "bench/pause/experiment.h"

namespace pause_bench {

std::string text_head(const experiment& from);
std::string text_round(const round_record& round, unsigned number);
std::string text_report(const experiment& from);

// Three digits or so: "0.31", "12.4", "1230".
std::string show_us(double us);

}  // namespace pause_bench
