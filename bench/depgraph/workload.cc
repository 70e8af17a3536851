// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/depgraph/workload.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <exception>
#include <thread>
#include <vector>

#include "bench/depgraph/audit.h"
#include "bench/depgraph/graph.h"
#include "bench/depgraph/latency.h"
#include "bench/depgraph/process_memory.h"
#include "bench/depgraph/queries.h"
#include "bench/depgraph/recorder_pool.h"

namespace depgraph {
namespace {

constexpr std::size_t k_audited = 16;        // answers noted while everything runs
constexpr std::size_t k_checked_after = 10;  // of each kind, when all is still

// So many queries for each P may have started and not ended: enough that the others have work while one waits for the
// collector or has been preempted.
constexpr std::size_t k_at_work = 4;

// One timing: the queries are goroutines, in as many chains as there are to be in flight; each starts the next one of
// its chain when it ends. Who replaces and who watches are threads of the program's own, since a goroutine would take
// turns with the queries for a P. All in malloc memory; the graph is held by the caller.
class timing {
 public:
  timing(const records& from, graph* subject, const plan& what)
      : from_(from),
        subject_(subject),
        what_(what),
        questions_(from, what.seed),
        recorders_(questions_, mixed(what.seed), static_cast<std::size_t>(what.procs) * k_at_work),
        audit_(from),
        generations_(from.stanzas.size()) {}

  void run(measured& out);
  std::uint64_t wrong_answers();
  std::uint64_t checked_answers() const { return audit_.answers() + k_checked_after * k_query_kinds; }

 private:
  void line_up();
  void measure(measured& out);
  void answer_one(clock::time_point asked);
  void answer_next(recorder& own);
  void note_audit(recorder& own);
  void replace();
  void watch(measured& out);
  void sum_up(measured& out) const;

  const records& from_;
  graph* subject_;  // the caller's root keeps it
  plan what_;
  query_source questions_;
  recorder_pool recorders_;
  cairn::sync::wait_group lined_up_, chains_;
  audit audit_;                             // written by the one query that takes audit_wanted_
  std::vector<std::uint32_t> generations_;  // this and the next two: the replacing thread's
  progress replacing_meter_;
  std::uint64_t replaced_ = 0;
  // Told by the watching thread. Only flags: what the others wrote is read after they have ended.
  std::atomic<bool> stop_{false}, audit_wanted_{false};
};

// A thread of the program's own, attached. What its function throws, join() throws, after `stop` was set so that the
// others end too.
class helper {
 public:
  template <class F>
  helper(std::atomic<bool>& stop, F f)
      : thread_([this, &stop, f] {
          cairn::attach_thread attached;
          try {
            f();
          } catch (...) {
            error_ = std::current_exception();
            stop.store(true, std::memory_order_relaxed);
          }
        }) {}
  helper(const helper&) = delete;
  helper& operator=(const helper&) = delete;
  void join() {
    cairn::blocking([this] { thread_.join(); });
    if (error_ != nullptr) std::rethrow_exception(error_);
  }

 private:
  std::exception_ptr error_;  // the thread's until it has ended
  std::jthread thread_;
};

spread spread_of(const histogram& h) {
  auto us = [](nanoseconds ns) { return static_cast<double>(ns.count()) / 1e3; };
  return {h.count(), us(h.percentile(50)), us(h.percentile(99)), us(h.percentile(99.9)), us(h.max())};
}

spread spread_of(const cairn::gc::histogram& h) {
  auto us = [](nanoseconds ns) { return static_cast<double>(ns.count()) / 1e3; };
  return {h.count(), us(h.percentile(50)), us(h.percentile(99)), us(h.percentile(99.9)), us(h.max())};
}

// A query's goroutine. Those that the end of the time finds in line are over without an answer, and so is their chain.
void timing::answer_one(clock::time_point asked) {
  recorder& own = recorders_.take();
  if (stop_.load(std::memory_order_relaxed)) {
    recorders_.give(own);
    chains_.done();
    return;
  }
  own.waits.add(clock::now() - asked);
  answer_next(own);
  recorders_.give(own);
  cairn::go([this, now = clock::now()] { answer_one(now); });
}

// Not inlined: the frame of answer_one, which those in line stand in, has no place for pointers then. It lies
// where that of an earlier goroutine lay, whose snapshot would be kept by what is left of it: one for each
// query in the line.
[[gnu::noinline]] void timing::answer_next(recorder& own) {
  if (audit_wanted_.load(std::memory_order_relaxed) &&
      audit_wanted_.exchange(false, std::memory_order_relaxed)) {
    note_audit(own);
  }
  query question = own.source.next();
  own.meter.skip();
  clock::time_point begin = clock::now();
  ask(*subject_, *subject_->now(), question, own.meter);
  own.latencies[static_cast<std::size_t>(question.kind)].add(clock::now() - begin);
  own.meter.unit();
}

// Not counted among the queries; the gaps in it are.
void timing::note_audit(recorder& own) {
  snapshot* state = subject_->now();
  audit_.note_state(*subject_, *state);
  own.meter.skip();
  std::vector<slot_id> path;
  for (std::size_t i = 0; i < k_audited; i++) {
    query asked = own.source.next_of(static_cast<query_kind>(i % k_query_kinds));
    path.clear();
    answer given = ask(*subject_, *state, asked, own.meter, &path);
    audit_.note_answer(asked, given, path);
  }
}

void timing::replace() {
  query_source source = questions_.sibling(what_.seed + 1);
  replacing_meter_.skip();
  while (!stop_.load(std::memory_order_relaxed)) {
    slot_id slot = static_cast<slot_id>(source.random(generations_.size()));
    replace_version(*subject_, from_, slot, ++generations_[slot]);
    replaced_++;
    replacing_meter_.unit();
  }
}

// Ends the run, wants the audit when half of it is over, and samples what is mapped.
void timing::watch(measured& out) {
  clock::time_point begin = clock::now();
  auto elapsed = [&] { return std::chrono::duration<double>(clock::now() - begin).count(); };
  for (bool halfway = false; elapsed() < what_.seconds && !stop_.load(std::memory_order_relaxed);) {
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
  histogram all, waited, gaps = replacing_meter_.gaps();
  for (std::size_t k = 0; k < k_query_kinds; k++) {
    histogram kind;
    for (const auto& r : recorders_.all()) kind.merge(r->latencies[k]);
    out.kinds[k] = spread_of(kind);
    all.merge(kind);
  }
  for (const auto& r : recorders_.all()) {
    waited.merge(r->waits);
    gaps.merge(r->meter.gaps());
  }
  out.all = spread_of(all);
  out.waited = spread_of(waited);
  out.gaps = spread_of(gaps);
  out.replaced = replaced_;
}

// Starts the first query of each chain and waits until all stand in line.
void timing::line_up() {
  lined_up_.add(static_cast<std::int64_t>(what_.in_flight));
  for (std::size_t i = 0; i < what_.in_flight; i++) {
    cairn::go([this, now = clock::now()] {
      lined_up_.done();
      answer_one(now);
    });
    chains_.add();  // none is over before the line moves
  }
  lined_up_.wait();
}

// While all stand in line.
void timing::measure(measured& out) {
  cairn::gc::stats before = cairn::gc::read_stats();
  helper watching(stop_, [&] { watch(out); });
  helper replacing(stop_, [this] { replace(); });
  recorders_.open();
  chains_.wait();
  watching.join();
  replacing.join();
  cairn::gc::stats after = cairn::gc::read_stats();
  out.peak_rss_bytes = static_cast<double>(peak_rss_bytes());
  out.pauses = spread_of(after.pauses - before.pauses);
  out.cycles = after.gc_cycles - before.gc_cycles;
  out.gc_cpu_percent = after.gc_cpu_fraction * 100;
  out.goal_bytes = static_cast<double>(after.heap_goal_bytes);
  sum_up(out);
}

// Half as much again as the graph and the stacks need, so that every cycle frees about half of what it looks at.
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

void timing::run(measured& out) {
  try {
    line_up();
    apply_limit(out.how, out);
    measure(out);
  } catch (...) {
    // A goroutine or a thread could not be started: those that were must not outlive this object.
    stop_.store(true, std::memory_order_relaxed);
    recorders_.open();
    chains_.wait();
    throw;
  }
}

std::uint64_t timing::wrong_answers() {
  std::uint64_t wrong = audit_.wrong_answers();
  query_source source = questions_.sibling(what_.seed + 2);
  wrong += wrong_answers_now(from_, *subject_, source, k_checked_after);
  std::string fault = graph_fault(*subject_, *subject_->now());
  if (!fault.empty()) std::fprintf(stderr, "the graph is not well-formed: %s\n", fault.c_str());
  bool sound = cairn::gc::verify();
  if (!sound) std::fprintf(stderr, "the collector's verify() found a fault\n");
  return wrong + !fault.empty() + !sound;
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
  options.max_procs = what.procs;
  cairn::run(
      [&] {
        clock::time_point begin = clock::now();
        cairn::root<graph> subject = build_graph(from);
        out.build_s = std::chrono::duration<double>(clock::now() - begin).count();
        cairn::gc::collect();
        out.live_bytes = static_cast<double>(cairn::gc::read_stats().heap_live_bytes);
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
