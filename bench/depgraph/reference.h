// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The same four questions answered the plain way: one thread, std:: containers, everything resolved beforehand, and
// the most obvious algorithm for each. It shares the records (and what an edition is) with the graph, nothing else:
// not even the order of versions.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "bench/depgraph/query.h"
#include "bench/depgraph/records.h"

namespace depgraph {

class reference {
 public:
  // The state in which each slot holds the generation of that index; all 0 when the list is empty.
  explicit reference(const records& from, const std::vector<std::uint32_t>& generations = {});

  answer ask(const query& asked) const;

  // Whether the slots are an answer to a why or a cycle query: from a to b (to a) along edges, as short as it gets.
  bool is_answer(const query& asked, const std::vector<slot_id>& path) const;

 private:
  std::vector<bool> reachable(slot_id from) const;
  std::vector<std::uint32_t> distances(slot_id from) const;
  answer closure(slot_id a) const;
  answer why(slot_id a, slot_id b) const;
  answer cycle(slot_id a) const;
  answer breaks(slot_id a) const;
  std::uint32_t shortest_cycle(slot_id a) const;

  const records& from_;
  std::vector<std::vector<std::vector<slot_id>>> candidates_;  // by slot, by clause: in order of preference
  std::vector<std::vector<slot_id>> edges_;                    // by slot: the preferred candidates
};

// Debian's order of versions, by keys that are compared as sequences: below 0, 0 or above 0.
int reference_version_order(std::string_view a, std::string_view b);

}  // namespace depgraph
