// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/depgraph/edition.h"

#include <algorithm>

namespace depgraph {

edition edition_of(const records& from, slot_id slot, std::uint32_t generation) {
  const stanza& base = from.stanzas[slot];
  edition out;
  out.version = base.version;
  out.clauses.reserve(base.clauses.size());
  for (std::uint32_t c = base.clauses.first; c < base.clauses.last; c++) {
    clause any_of = from.clauses[c];
    out.clauses.emplace_back(from.targets.begin() + any_of.first, from.targets.begin() + any_of.last);
  }
  out.provides.assign(from.provides.begin() + base.provides.first, from.provides.begin() + base.provides.last);
  if (generation == 0) return out;

  if (generation % 2 == 1) out.version += "+r" + std::to_string(generation);
  std::uint64_t bits = mixed((std::uint64_t{slot} << 32) | generation);
  std::size_t pick = static_cast<std::size_t>(bits >> 32);
  if (!out.clauses.empty()) {
    std::vector<target>& chosen = out.clauses[pick % out.clauses.size()];
    if (bits % 4 == 0) out.clauses.erase(out.clauses.begin() + (&chosen - out.clauses.data()));
    if (bits % 4 == 1) std::reverse(chosen.begin(), chosen.end());
  }
  if (!out.provides.empty() && bits / 4 % 8 == 0) out.provides.pop_back();
  return out;
}

}  // namespace depgraph
