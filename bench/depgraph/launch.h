// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Each setting is measured in a fresh process, so that its peak memory is its own and no setting inherits a heap that
// another has grown: the program starts itself again with --child SETTING, the child reads the same input, and its
// figures come back as lines on its standard output. The parent never uses the library's heap.
#pragma once
#include <string>
#include <vector>

#include "bench/depgraph/command_line.h"

namespace depgraph {

struct child_result {
  std::string output;
  std::string failure;  // in words; empty: it ended with status 0
};

child_result run_child(const std::vector<std::string>& arguments);

// The value of --child, and back.
std::string child_argument(const setting& how);
setting read_child_argument(const std::string& text);

// The whole program; returns the exit status.
int depgraph_main(const std::vector<std::string>& arguments);

}  // namespace depgraph
