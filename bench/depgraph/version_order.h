// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Debian's order of versions (policy 5.6.12): epoch as a number, then upstream version and revision, each as
// alternating runs of other characters (tilde before the end, letters before the rest) and of digits.
#pragma once
#include <compare>
#include <string_view>

#include "bench/depgraph/records.h"

namespace depgraph {

std::strong_ordering version_order(std::string_view a, std::string_view b);

// Whether `version` is in `how` to `wanted`; true for relation::any.
bool satisfies(std::string_view version, relation how, std::string_view wanted);

}  // namespace depgraph
