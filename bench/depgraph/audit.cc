// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/depgraph/audit.h"

#include <cstdio>
#include <cstdlib>

#include "bench/depgraph/queries.h"
#include "bench/depgraph/reference.h"

namespace depgraph {
namespace {

std::string spelled(const records& from, slot_id slot) {
  const stanza& s = from.stanzas[slot];
  return std::string(from.names[s.name]) + " " + std::string(s.version);
}

void complain(const records& from, const query& asked, const answer& given, const answer& right) {
  std::string subject = spelled(from, asked.a);
  if (asked.kind == query_kind::why) subject += " -> " + spelled(from, asked.b);
  std::fprintf(stderr,
               "wrong answer: %s of %s: %u versions, length %u, digest %016llx; right: %u, %u, %016llx\n",
               k_query_names[static_cast<std::size_t>(asked.kind)].data(), subject.c_str(), given.count,
               given.length, static_cast<unsigned long long>(given.digest), right.count, right.length,
               static_cast<unsigned long long>(right.digest));
}

// No replacement leaves a slot empty, so memory was freed that is reachable: the process is worth a core file.
[[noreturn]] void lost(const records& from, slot_id slot) {
  std::fprintf(stderr, "depgraph: the graph has lost the version in slot %u, of %s\n", slot,
               spelled(from, slot).c_str());
  std::abort();
}

}  // namespace

void audit::note_state(const graph& in, const snapshot& state) {
  answers_.clear();
  for (slot_id slot = 0; slot < generations_.size(); slot++) {
    const version* there = version_in(in, state, slot);
    if (there == nullptr) lost(from_, slot);
    generations_[slot] = there->generation;
  }
}

std::uint64_t audit::wrong_answers() const {
  if (answers_.empty()) return 0;
  reference right(from_, generations_);
  std::uint64_t wrong = 0;
  for (const noted& one : answers_) {
    answer wanted = right.ask(one.asked);
    bool has_path = one.asked.kind == query_kind::why || one.asked.kind == query_kind::cycle;
    if (one.given == wanted && (!has_path || right.is_answer(one.asked, one.path))) continue;
    complain(from_, one.asked, one.given, wanted);
    wrong++;
  }
  return wrong;
}

std::uint64_t wrong_answers_now(const records& from, const graph& in, query_source& source,
                                std::size_t queries) {
  audit now(from);
  snapshot* state = in.now();
  now.note_state(in, *state);
  progress meter;
  std::vector<slot_id> path;
  for (std::size_t i = 0; i < queries * k_query_kinds; i++) {
    query asked = source.next_of(static_cast<query_kind>(i % k_query_kinds));
    path.clear();
    answer given = ask(in, *state, asked, meter, &path);
    now.note_answer(asked, given, path);
  }
  return now.wrong_answers();
}

}  // namespace depgraph
