// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#pragma once
#include <string>
#include <vector>

#include "bench/depgraph/records.h"
#include "bench/depgraph/workload.h"

namespace depgraph {

// What was read, in one line.
std::string index_line(const records& from, double seconds);
// The latencies of one setting, per kind of query.
std::string setting_block(const measured& from);
// One row a setting: memory on the left, time on the right.
std::string final_table(const std::vector<measured>& rows, const plan& what);
std::string json_document(const std::vector<measured>& rows, const plan& what);

}  // namespace depgraph
