// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Answers that were given while everything was running, to be compared with the reference afterwards. A snapshot
// never changes, so it is enough to note which generation each slot had in it: the reference builds that state again
// when the timing is over. The audit holds no collected object, so it does not keep the old state alive.
#pragma once
#include <cstdint>
#include <utility>
#include <vector>

#include "bench/depgraph/graph.h"
#include "bench/depgraph/query.h"

namespace depgraph {

class audit {
 public:
  explicit audit(const records& from) : from_(from), generations_(from.stanzas.size()) {}

  void note_state(const graph& in, const snapshot& state);
  void note_answer(const query& asked, const answer& given, std::vector<slot_id> path) {
    answers_.push_back({asked, given, std::move(path)});
  }
  std::size_t answers() const { return answers_.size(); }

  // How many of the answers the reference does not give; each is described on standard error.
  std::uint64_t wrong_answers() const;

 private:
  struct noted {
    query asked;
    answer given;
    std::vector<slot_id> path;
  };

  const records& from_;
  std::vector<std::uint32_t> generations_;
  std::vector<noted> answers_;
};

// Asks `queries` of each kind of the state as it is and compares. Returns the number of wrong answers.
std::uint64_t wrong_answers_now(const records& from, const graph& in, query_source& source,
                                std::size_t queries);

}  // namespace depgraph
