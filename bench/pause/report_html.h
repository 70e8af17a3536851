// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The page: the figures of the printed report and four kinds of charts. One file that needs nothing else.
#pragma once
#include <string>

#include "bench/pause/experiment.h"

namespace pause_bench {

std::string html_report(const experiment& from);

}  // namespace pause_bench
