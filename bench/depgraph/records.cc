// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/depgraph/records.h"

#include <cstring>

namespace depgraph {

std::string_view text_arena::store(std::string_view text) {
  if (text.empty()) return {};
  if (text.size() > left_) {
    std::size_t bytes = text.size() > k_block_bytes / 4 ? text.size() : k_block_bytes;
    blocks_.push_back(std::make_unique<char[]>(bytes));
    if (bytes != k_block_bytes) {  // a long text has a block of its own, the current block goes on
      std::memcpy(blocks_.back().get(), text.data(), text.size());
      return {blocks_.back().get(), text.size()};
    }
    free_ = blocks_.back().get();
    left_ = bytes;
  }
  char* place = free_;
  std::memcpy(place, text.data(), text.size());
  free_ += text.size();
  left_ -= text.size();
  return {place, text.size()};
}

name_id records::intern(std::string_view name) {
  if (auto known = ids_.find(name); known != ids_.end()) return known->second;
  std::string_view kept = texts_.store(name);
  name_id id = static_cast<name_id>(names.size());
  names.push_back(kept);
  ids_.emplace(kept, id);
  return id;
}

void records::finish() {
  ids_ = {};
  names.shrink_to_fit();
  stanzas.shrink_to_fit();
  clauses.shrink_to_fit();
  targets.shrink_to_fit();
  provides.shrink_to_fit();
}

}  // namespace depgraph
