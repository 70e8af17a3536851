// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/depgraph/workload.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>
#include <vector>

#include "bench/depgraph/audit.h"
#include "bench/depgraph/graph.h"
#include "bench/depgraph/latency.h"
#include "bench/depgraph/process_memory.h"
#include "bench/depgraph/queries.h"

namespace depgraph {
namespace {

constexpr std::size_t k_audited = 16;        // answers noted while everything runs
constexpr std::size_t k_checked_after = 10;  // of each kind, when all is still

// The threads of one timing. All in malloc memory; the graph is held by the caller.
class timing {
 public:
  timing(const records& from, graph* subject, const plan& what)
      : from_(from), subject_(subject), what_(what), audit_(from), generations_(from.stanzas.size()) {
    for (unsigned i = 0; i < what.readers; i++)
      readers_.push_back(std::make_unique<reader>(from, mixed(what.seed) + i));
  }

  void run(measured& out);
  std::uint64_t wrong_answers();
  std::uint64_t checked_answers() const { return audit_.answers() + k_checked_after * k_query_kinds; }

 private:
  struct reader {
    reader(const records& from, std::uint64_t seed) : source(from, seed) {}
    query_source source;
    std::array<histogram, k_query_kinds> latencies;
    progress meter;
  };

  void read(reader& self, bool audits);
  void note_audit(reader& self);
  void replace();
  void watch(measured& out);
  void sum_up(measured& out) const;

  const records& from_;
  graph* subject_;  // the caller's root keeps it
  plan what_;
  std::vector<std::unique_ptr<reader>> readers_;
  audit audit_;                             // written by the first reader
  std::vector<std::uint32_t> generations_;  // this and the next two: the replacing thread's
  progress replacing_meter_;
  std::uint64_t replaced_ = 0;
  // Told by the watching thread. Only flags: what the others wrote is read after they have ended.
  std::atomic<bool> stop_{false}, audit_wanted_{false};
};

spread spread_of(const histogram& h) {
  auto us = [](nanoseconds ns) { return static_cast<double>(ns.count()) / 1e3; };
  return {h.count(), us(h.percentile(50)), us(h.percentile(99)), us(h.percentile(99.9)), us(h.max())};
}

spread spread_of(const cairn::gc::histogram& h) {
  auto us = [](nanoseconds ns) { return static_cast<double>(ns.count()) / 1e3; };
  return {h.count(), us(h.percentile(50)), us(h.percentile(99)), us(h.percentile(99.9)), us(h.max())};
}

void timing::read(reader& self, bool audits) {
  self.meter.skip();
  while (!stop_.load(std::memory_order_relaxed)) {
    if (audits && audit_wanted_.exchange(false, std::memory_order_relaxed)) note_audit(self);
    query asked = self.source.next();
    clock::time_point begin = clock::now();
    ask(*subject_, *subject_->now(), asked, self.meter);
    self.latencies[static_cast<std::size_t>(asked.kind)].add(clock::now() - begin);
    self.meter.unit();
  }
}

// Not counted among the queries; the gaps in it are.
void timing::note_audit(reader& self) {
  snapshot* state = subject_->now();
  audit_.note_state(*subject_, *state);
  self.meter.skip();
  std::vector<slot_id> path;
  for (std::size_t i = 0; i < k_audited; i++) {
    query asked = self.source.next_of(static_cast<query_kind>(i % k_query_kinds));
    path.clear();
    answer given = ask(*subject_, *state, asked, self.meter, &path);
    audit_.note_answer(asked, given, path);
  }
}

void timing::replace() {
  query_source source(from_, what_.seed + 1);
  replacing_meter_.skip();
  while (!stop_.load(std::memory_order_relaxed)) {
    slot_id slot = static_cast<slot_id>(source.random(generations_.size()));
    replace_version(*subject_, from_, slot, ++generations_[slot]);
    replaced_++;
    replacing_meter_.unit();
  }
}

// The calling thread: ends the run, wants the audit when half of it is over, and samples what is mapped.
void timing::watch(measured& out) {
  clock::time_point begin = clock::now();
  auto elapsed = [&] { return std::chrono::duration<double>(clock::now() - begin).count(); };
  for (bool halfway = false; elapsed() < what_.seconds;) {
    cairn::sleep_for(std::chrono::milliseconds(10));
    cairn::gc::stats now = cairn::gc::read_stats();
    out.peak_mapped_bytes = std::max(out.peak_mapped_bytes,
                                     static_cast<double>(now.heap_mapped_bytes - now.heap_released_bytes));
    if (!halfway && elapsed() >= what_.seconds / 2) {
      halfway = true;
      audit_wanted_.store(true, std::memory_order_relaxed);
    }
  }
  stop_.store(true, std::memory_order_relaxed);
  out.timed_s = elapsed();
}

void timing::sum_up(measured& out) const {
  histogram all, gaps = replacing_meter_.gaps();
  for (std::size_t k = 0; k < k_query_kinds; k++) {
    histogram kind;
    for (const auto& r : readers_) kind.merge(r->latencies[k]);
    out.kinds[k] = spread_of(kind);
    all.merge(kind);
  }
  for (const auto& r : readers_) gaps.merge(r->meter.gaps());
  out.all = spread_of(all);
  out.gaps = spread_of(gaps);
  out.replaced = replaced_;
}

void timing::run(measured& out) {
  cairn::gc::stats before = cairn::gc::read_stats();
  cairn::sync::wait_group threads;
  for (std::size_t i = 0; i < readers_.size(); i++) threads.go([this, i] { read(*readers_[i], i == 0); });
  threads.go([this] { replace(); });
  watch(out);
  threads.wait();
  cairn::gc::stats after = cairn::gc::read_stats();
  out.peak_rss_bytes = static_cast<double>(peak_rss_bytes());
  out.pauses = spread_of(after.pauses - before.pauses);
  out.cycles = after.gc_cycles - before.gc_cycles;
  out.gc_cpu_percent = after.gc_cpu_fraction * 100;
  out.goal_bytes = static_cast<double>(after.heap_goal_bytes);
  sum_up(out);
}

std::uint64_t timing::wrong_answers() {
  std::uint64_t wrong = audit_.wrong_answers();
  query_source source(from_, what_.seed + 2);
  wrong += wrong_answers_now(from_, *subject_, source, k_checked_after);
  std::string fault = graph_fault(*subject_, *subject_->now());
  if (!fault.empty()) std::fprintf(stderr, "the graph is not well-formed: %s\n", fault.c_str());
  bool sound = cairn::gc::verify();
  if (!sound) std::fprintf(stderr, "the collector's verify() found a fault\n");
  return wrong + !fault.empty() + !sound;
}

// Half as much again as the graph needs, so that every cycle frees about half of what it looks at.
std::size_t roomy_limit() {
  cairn::gc::stats now = cairn::gc::read_stats();
  constexpr std::size_t k_mib = 1 << 20;
  std::size_t bytes = now.heap_live_bytes / 2 * 3 + now.metadata_bytes + now.stack_bytes + 8 * k_mib;
  return (bytes + k_mib - 1) / k_mib * k_mib;
}

void apply_limit(const setting& how, measured& out) {
  if (!how.has_limit) return;
  std::size_t limit = how.limit_bytes != 0 ? how.limit_bytes : roomy_limit();
  cairn::gc::set_memory_limit(limit);
  cairn::gc::set_percent(cairn::gc_off);
  out.limit_bytes = static_cast<double>(limit);
}

}  // namespace

std::string setting::title() const {
  if (has_limit && limit_bytes == 0) return "limit";
  if (has_limit) return "limit " + std::to_string(limit_bytes >> 20) + "MiB";
  return percent == cairn::gc_off ? "off" : std::to_string(percent);
}

measured run_setting(const records& from, const setting& how, const plan& what) {
  measured out;
  out.how = how;
  out.base_rss_bytes = static_cast<double>(reset_peak_rss());
  cairn::options options;
  options.gc_percent = how.has_limit ? 100 : how.percent;  // a limit that is to be found needs a graph first
  options.memory_limit = cairn::no_limit;
  cairn::run(
      [&] {
        clock::time_point begin = clock::now();
        cairn::root<graph> subject = build_graph(from);
        out.build_s = std::chrono::duration<double>(clock::now() - begin).count();
        cairn::gc::collect();
        out.live_bytes = static_cast<double>(cairn::gc::read_stats().heap_live_bytes);
        apply_limit(how, out);
        timing timed(from, subject.get(), what);
        timed.run(out);
        out.wrong = timed.wrong_answers();
        out.checked = timed.checked_answers();
      },
      options);
  return out;
}

checked check_answers(const records& from, const check_plan& what) {
  checked out;
  cairn::run([&] {
    cairn::root<graph> subject = build_graph(from);
    query_source source(from, what.seed);
    std::vector<std::uint32_t> generations(from.stanzas.size());
    for (std::size_t round = 0; round < what.rounds; round++) {
      for (std::size_t i = 0; round != 0 && i < what.replacements; i++) {
        slot_id slot = static_cast<slot_id>(source.random(generations.size()));
        replace_version(*subject, from, slot, ++generations[slot]);
      }
      out.wrong += wrong_answers_now(from, *subject, source, what.queries);
      out.answers += what.queries * k_query_kinds;
      std::string fault = graph_fault(*subject, *subject->now());
      if (fault.empty()) continue;
      std::fprintf(stderr, "the graph is not well-formed: %s\n", fault.c_str());
      out.wrong++;
    }
  });
  return out;
}

}  // namespace depgraph
