// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What is asked, what is answered, and which questions are asked: shared by the graph and the reference.
//
// A clause is met by a candidate: a version of a named package that fits the constraint, or one that provides the
// name fittingly. The preferred candidate is the first of the first alternative that has one: its newest fitting
// version, else the fitting provider in the lowest slot. An edge leads from a version to the preferred candidate of
// each of its clauses; a clause without a candidate leads nowhere.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "bench/depgraph/edition.h"
#include "bench/depgraph/records.h"

namespace depgraph {

enum class query_kind : std::uint8_t {
  closure,  // all that a pulls in along edges, a included
  why,      // a shortest path along edges from a to b
  cycle,    // all that lies on cycles through a (its strongly connected component), and a shortest such cycle
  breaks,   // what else loses the last candidate of a clause, in the end, when all versions of a's package go
};
inline constexpr std::size_t k_query_kinds = 4;
inline constexpr std::array<std::string_view, k_query_kinds> k_query_names{"closure", "why", "cycle",
                                                                           "breaks"};

struct query {
  query_kind kind;
  slot_id a, b;  // b: of why only
};

struct answer {
  std::uint32_t count = 0;   // how many versions the answer has
  std::uint64_t digest = 0;  // their slots, in no order
  std::uint32_t length = 0;  // edges of the path or cycle; 0: there is none
  bool operator==(const answer&) const = default;
  void add(slot_id slot) {
    count++;
    digest += mixed(slot);
  }
};

// An endless sequence of queries, a function of records and seed.
class query_source {
 public:
  query_source(const records& from, std::uint64_t seed)
      : from_(from), owner_(index_of_owners(from)), state_(mixed(seed)) {}
  // Another sequence about the same records, which shares this one's index of them.
  query_source sibling(std::uint64_t seed) const {
    query_source out(*this);
    out.state_ = mixed(seed);
    return out;
  }

  query next() { return next_of(static_cast<query_kind>(random(k_query_kinds))); }
  // Random subjects have few cycles and little to do with each other: cycles are looked for around what others need,
  // and why's b lies some steps from a, so that most questions have an answer worth the name.
  query next_of(query_kind kind) {
    slot_id a = kind == query_kind::cycle ? depended_on() : anything();
    return {kind, a, kind == query_kind::why ? walk(a) : 0};
  }
  std::uint64_t random(std::uint64_t below) { return mixed(state_++) % below; }

 private:
  using owners = std::vector<slot_id>;
  static std::shared_ptr<const owners> index_of_owners(const records& from) {
    auto out = std::make_shared<owners>(from.names.size(), k_nobody);
    for (std::size_t s = from.stanzas.size(); s-- > 0;)
      (*out)[from.stanzas[s].name] = static_cast<slot_id>(s);
    return out;
  }
  slot_id owner(name_id name) const { return (*owner_)[name]; }
  slot_id anything() { return static_cast<slot_id>(random(from_.stanzas.size())); }
  slot_id depended_on() {
    for (int tries = 0; tries < 8 && !from_.targets.empty(); tries++) {
      slot_id slot = owner(from_.targets[random(from_.targets.size())].name);
      if (slot != k_nobody) return slot;
    }
    return anything();
  }
  slot_id walk(slot_id at) {
    for (std::uint64_t left = 1 + random(6); left > 0; left--) {
      range clauses = from_.stanzas[at].clauses;
      if (clauses.size() == 0) break;
      clause any_of = from_.clauses[clauses.first + random(clauses.size())];
      slot_id to = owner(from_.targets[any_of.first + random(any_of.size())].name);
      if (to != k_nobody) at = to;
    }
    return at;
  }

  static constexpr slot_id k_nobody = ~slot_id{0};
  const records& from_;
  std::shared_ptr<const owners> owner_;  // of a name: its first stanza
  std::uint64_t state_;
};

}  // namespace depgraph
