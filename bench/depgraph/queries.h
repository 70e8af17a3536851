// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The four queries (query.h says what they mean) on a snapshot of the graph. All that they need meanwhile, queues,
// sets, stacks and paths, is collected memory: garbage as soon as the answer is there.
#pragma once
#include <vector>

#include "bench/depgraph/graph.h"
#include "bench/depgraph/latency.h"
#include "bench/depgraph/query.h"

namespace depgraph {

// `path`, if given, receives the slots of why's or cycle's path from a to b (to a again).
answer ask(const graph& in, const snapshot& state, const query& asked, progress& meter,
           std::vector<slot_id>* path = nullptr);

}  // namespace depgraph
