// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What a slot holds in its generation g: the stanza of the index for g = 0, and for each later generation a version
// of it that the replacing thread makes up. It is a pure function of the records, the slot and the generation, so a
// list of generations describes a whole state of the graph, and the reference can build that state by itself.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "bench/depgraph/records.h"

namespace depgraph {

struct edition {
  std::string version;
  std::vector<std::vector<target>> clauses;
  std::vector<target> provides;
};

// Odd generations raise the version (an "=" dependency on it then fails); one in four loses a clause, one in four
// turns the order of preference in a clause around, one in eight no longer provides its last name.
edition edition_of(const records& from, slot_id slot, std::uint32_t generation);

// The one source of pseudo-random bits here (splitmix64's finaliser).
constexpr std::uint64_t mixed(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace depgraph
