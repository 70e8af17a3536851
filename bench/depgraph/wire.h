// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The figures of one setting as "name value" lines: how a child process hands them to its parent, and, by the same
// list of names, what stands in the JSON file.
#pragma once
#include <string>

#include "bench/depgraph/workload.h"

namespace depgraph {

std::string to_lines(const measured& from);
std::string to_json(const measured& from);
// False if a line is missing or is not a number: the child did not get to its end.
bool from_lines(const std::string& lines, measured& into);

}  // namespace depgraph
