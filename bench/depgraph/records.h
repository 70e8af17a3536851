// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What is left of a package index after reading: plain records in malloc memory that nobody writes again. The graph
// of collected objects (graph.h) and the reference (reference.h) are both built from them and share nothing else.
// Names are interned (a name_id is an index of names), everything else lies in flat vectors; a stanza, a clause and
// so on point to what is theirs by index ranges. Texts live in an arena that the records own.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace depgraph {

using name_id = std::uint32_t;
using slot_id = std::uint32_t;  // a stanza's index: the identity of a version that is replaced again and again

enum class relation : std::uint8_t { any, earlier, earlier_equal, equal, later_equal, later };

// A half-open range of indices.
struct range {
  std::uint32_t first = 0, last = 0;
  std::uint32_t size() const { return last - first; }
};

// "name (>= version)": one alternative of a dependency, or a provided name (relation any or equal).
struct target {
  name_id name;
  relation how;
  std::string_view version;
};

// "a | b | c": satisfied by any of its targets.
using clause = range;

struct stanza {
  name_id name;
  std::string_view version, architecture;
  range clauses;   // of records::clauses: Pre-Depends and Depends
  range provides;  // of records::provides
};

// Owns copies of texts; what store() returned stays where it is.
class text_arena {
 public:
  std::string_view store(std::string_view text);

 private:
  static constexpr std::size_t k_block_bytes = 1 << 20;
  std::vector<std::unique_ptr<char[]>> blocks_;
  char* free_ = nullptr;
  std::size_t left_ = 0;
};

class records {
 public:
  std::vector<std::string_view> names;
  std::vector<stanza> stanzas;
  std::vector<clause> clauses;
  std::vector<target> targets;
  std::vector<target> provides;

  name_id intern(std::string_view name);
  std::string_view store(std::string_view text) { return texts_.store(text); }
  // Gives back what was only needed while reading.
  void finish();

 private:
  text_arena texts_;
  std::unordered_map<std::string_view, name_id> ids_;
};

}  // namespace depgraph
