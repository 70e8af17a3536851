// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The demo's graph of collected objects against its reference, on graphs made by hand and on the sample index.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include <cairn/cairn.h>

#include "bench/depgraph/audit.h"
#include "bench/depgraph/graph.h"
#include "bench/depgraph/index_reader.h"
#include "bench/depgraph/queries.h"
#include "bench/depgraph/recorder_pool.h"
#include "bench/depgraph/reference.h"
#include "bench/depgraph/workload.h"
#include "scale.h"

namespace {

using namespace depgraph;

const std::string k_sample = std::string(CAIRN_SOURCE_DIR) + "/bench/depgraph/sample/packages.txt";

records sample() { return index_file(k_sample).read(); }

records read_text(std::string_view text) {
  line_reader in(text, "index");
  return read_index(in);
}

// Every query that there is about the records' graph, compared with the reference.
void compare_all(const records& from, const graph& in, const snapshot& state,
                 const std::vector<std::uint32_t>& g) {
  reference right(from, g);
  progress meter;
  for (slot_id a = 0; a < from.stanzas.size(); a++) {
    for (query_kind kind : {query_kind::closure, query_kind::cycle, query_kind::breaks}) {
      EXPECT_EQ(ask(in, state, {kind, a, 0}, meter), right.ask({kind, a, 0})) << a;
    }
    for (slot_id b = 0; b < from.stanzas.size(); b++) {
      std::vector<slot_id> path;
      query asked{query_kind::why, a, b};
      EXPECT_EQ(ask(in, state, asked, meter, &path), right.ask(asked)) << a << " " << b;
      EXPECT_TRUE(right.is_answer(asked, path)) << a << " " << b;
    }
  }
}

// A small index with a bit of everything, in which each of ten packages has one or two versions.
std::string random_index(std::uint64_t seed) {
  auto pick = [&, n = seed * 1000](std::uint64_t below) mutable { return mixed(n++) % below; };
  std::string out;
  constexpr const char* k_constraints[] = {"", "", " (>= 2)", " (<< 2)", " (= 2)", " (>> 1)", " (<= 1)"};
  for (int p = 0; p < 10; p++) {
    for (std::uint64_t v = 1; v <= 1 + pick(2); v++) {
      out += "Package: p" + std::to_string(p) + "\nVersion: " + std::to_string(v) + "\n";
      std::string depends, provides;
      for (std::uint64_t c = pick(4); c > 0; c--) {
        depends += depends.empty() ? "" : ", ";
        for (std::uint64_t a = 0, last = pick(3); a <= last; a++) {
          depends += (a == 0 ? "" : " | ") + std::string(pick(4) == 0 ? "v" : "p") + std::to_string(pick(12));
          depends += k_constraints[pick(7)];
        }
      }
      for (std::uint64_t n = pick(3); n > 0; n--) {
        provides += (provides.empty() ? "v" : ", v") + std::to_string(pick(12)) +
                    (pick(2) == 0 ? "" : " (= 2)");
      }
      if (!depends.empty()) out += "Depends: " + depends + "\n";
      if (!provides.empty()) out += "Provides: " + provides + "\n";
      out += "\n";
    }
  }
  return out;
}

TEST(DependencyGraph, AnswersEverythingAboutSmallRandomGraphsAsTheReferenceDoes) {
  for (std::uint64_t seed = 1; seed <= test_count(60, 10); seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    records from = read_text(random_index(seed));
    cairn::root<graph> subject = build_graph(from);
    std::vector<std::uint32_t> generations(from.stanzas.size());
    for (int round = 0; round < 3; round++) {
      ASSERT_EQ(graph_fault(*subject, *subject->now()), "");
      compare_all(from, *subject, *subject->now(), generations);
      for (std::uint64_t i = 0; i < 15; i++) {
        slot_id slot = static_cast<slot_id>(mixed(seed * 100 + i) % generations.size());
        replace_version(*subject, from, slot, ++generations[slot]);
      }
    }
    if (HasFailure()) break;
  }
}

TEST(DependencyGraph, AnswersAboutTheSampleAsTheReferenceDoes) {
  check_plan what;
  what.queries = test_count(300, 50);
  what.rounds = 4;
  what.replacements = 3000;
  checked found = check_answers(sample(), what);
  EXPECT_EQ(found.wrong, 0u);
  EXPECT_EQ(found.answers, what.queries * k_query_kinds * what.rounds);
}

TEST(DependencyGraph, LeavesAnOldSnapshotAsItWas) {
  records from = sample();
  cairn::root<graph> subject = build_graph(from);
  cairn::root<snapshot> old = subject->now();
  query_source source(from, 5);
  for (int i = 0; i < 5000; i++) {
    slot_id slot = static_cast<slot_id>(source.random(from.stanzas.size()));
    replace_version(*subject, from, slot, static_cast<std::uint32_t>(1 + i));
  }
  cairn::gc::collect();
  EXPECT_EQ(subject->now()->sequence, 5000u);
  EXPECT_EQ(old->sequence, 0u);
  EXPECT_EQ(graph_fault(*subject, *old), "");
  reference right(from);
  progress meter;
  for (int i = 0; i < 400; i++) {
    query asked = source.next();
    EXPECT_EQ(ask(*subject, *old, asked, meter), right.ask(asked));
  }
}

[[gnu::noinline]] void replace_and_watch(graph& in, const records& from,
                                         std::vector<cairn::gc_weak<snapshot>>& seen) {
  for (std::uint32_t i = 0; i < 1000; i++) {
    seen.emplace_back(in.now());
    replace_version(in, from, i % static_cast<std::uint32_t>(from.stanzas.size()), i + 1);
  }
}

TEST(DependencyGraph, LosesReplacedSnapshotsToTheCollector) {
  records from = sample();
  cairn::root<graph> subject = build_graph(from);
  std::vector<cairn::gc_weak<snapshot>> seen;
  replace_and_watch(*subject, from, seen);
  cairn::gc::collect();
  cairn::gc::collect();
  std::size_t alive = 0;
  for (const auto& one : seen) alive += one.lock() != nullptr;
  EXPECT_LE(alive, 10u);  // what a stale word on the stack may keep
  EXPECT_NE(subject->now(), nullptr);
}

// Long enough that something happens, however slow the machine.
measured run_until_busy(const setting& how, plan what) {
  measured found;
  for (what.seconds = 0.5; what.seconds < 30; what.seconds *= 4) {
    found = run_setting(sample(), how, what);
    EXPECT_EQ(found.wrong, 0u);
    bool is_enough = found.cycles > 0 && found.checked == 56 && found.replaced > 100 &&
                     found.gaps.count > 1000;
    for (const spread& kind : found.kinds) is_enough = is_enough && kind.count > 10;
    if (is_enough) break;
  }
  return found;
}

TEST(DependencyGraph, IsReadConsistentlyWhileItChanges) {
  plan what;
  what.in_flight = 500;
  what.procs = 2;
  setting how;
  how.percent = 25;
  measured found = run_until_busy(how, what);
  EXPECT_EQ(found.checked, 56u);
  EXPECT_GT(found.replaced, 100u);
  for (const spread& kind : found.kinds) {
    EXPECT_GT(kind.count, 10u);
    EXPECT_GE(kind.max_us, kind.p999_us);
  }
  EXPECT_GT(found.cycles, 0u);
  EXPECT_GT(found.live_bytes, 1e5);
  EXPECT_GE(found.peak_mapped_bytes, found.live_bytes);
  EXPECT_GT(found.gaps.count, 1000u);
  EXPECT_EQ(found.waited.count, found.all.count);
}

TEST(DependencyGraph, IsQueriedByAsFewOrManyGoroutinesAsAreToBeInFlight) {
  for (std::size_t in_flight : {1, 3, 20000}) {
    plan what;
    what.in_flight = in_flight;
    what.procs = in_flight == 3 ? 4 : 1;
    measured found;
    for (what.seconds = 0.3; found.all.count < 100 && what.seconds < 30; what.seconds *= 4) {
      found = run_setting(sample(), setting{}, what);
      EXPECT_EQ(found.wrong, 0u);
      EXPECT_EQ(found.waited.count, found.all.count) << in_flight;
    }
    EXPECT_GE(found.all.count, 100u) << in_flight;
  }
}

// The line moves from its head: who stands in it has waited for those that were there before, and nobody twice.
TEST(RecorderPool, ServesQueriesInTheOrderInWhichTheyCame) {
  records from = sample();
  constexpr std::size_t k_queries = 100;
  std::vector<std::size_t> served;
  cairn::run(
      [&] {
        recorder_pool pool(query_source(from, 1), 1, 1);
        cairn::sync::wait_group over;
        std::atomic<std::size_t> lined_up = 0;
        for (std::size_t i = 0; i < k_queries; i++) {
          over.go([&, i] {
            recorder& own = [&]() -> recorder& {
              cairn::preempt_off until_in_line;
              lined_up++;
              return pool.take();
            }();
            served.push_back(i);
            cairn::yield();  // with the recorder: the others go on standing in line
            EXPECT_EQ(served.back(), i);
            pool.give(own);
          });
          while (lined_up <= i) cairn::yield();
        }
        EXPECT_TRUE(served.empty());
        pool.open();
        over.wait();
      },
      {.max_procs = 1});
  std::vector<std::size_t> in_order(k_queries);
  std::iota(in_order.begin(), in_order.end(), 0u);
  EXPECT_EQ(served, in_order);
}

TEST(RecorderPool, GivesNoRecorderToTwoQueries) {
  records from = sample();
  constexpr std::size_t k_recorders = 5;
  cairn::run(
      [&] {
        recorder_pool pool(query_source(from, 1), 1, k_recorders);
        std::set<const recorder*> out;
        std::mutex lock;
        cairn::sync::wait_group over;
        for (std::size_t i = 0; i < test_count(2000, 200); i++) {
          over.go([&] {
            recorder& own = pool.take();
            {
              std::lock_guard held(lock);
              EXPECT_TRUE(out.insert(&own).second);
              EXPECT_LE(out.size(), k_recorders);
            }
            own.waits.add(nanoseconds(1));
            cairn::yield();
            {
              std::lock_guard held(lock);
              out.erase(&own);
            }
            pool.give(own);
          });
        }
        pool.open();
        over.wait();
        std::uint64_t waits = 0;
        for (const auto& one : pool.all()) waits += one->waits.count();
        EXPECT_EQ(waits, test_count(2000, 200));
      },
      {.max_procs = 4});
}

TEST(QuerySource, SiblingsAskTheSameOfTheSameSeed) {
  records from = sample();
  query_source first(from, 1), other(from, 2), sibling = first.sibling(2);
  bool differs = false;
  for (int i = 0; i < 100; i++) {
    query a = first.next(), b = other.next(), c = sibling.next();
    EXPECT_TRUE(b.kind == c.kind && b.a == c.a && b.b == c.b);
    differs |= a.a != b.a;
  }
  EXPECT_TRUE(differs);
}

TEST(DepgraphProgram, EndsWithOneTableOfAllSettings) {
  std::string json = testing::TempDir() + "depgraph_json_" + std::to_string(::getpid());
  std::string
      command = std::string("'") + CAIRN_DEPGRAPH +
                "' --in-flight 300 --procs 2 --seconds 0.2 --percents 50,off --memory-limit 64MiB --json '" +
                json + "' - < '" + k_sample + "' 2>/dev/null";
  std::FILE* pipe = ::popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string output;
  char buffer[4096];
  for (std::size_t got; (got = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) output.append(buffer, got);
  EXPECT_EQ(::pclose(pipe), 0) << output;
  std::string table = output.substr(output.rfind("GC %"));
  for (const char* row : {"\n50 ", "\noff ", "\nlimit 64 "})
    EXPECT_NE(table.find(row), std::string::npos) << output;
  EXPECT_NE(output.find("\n300 queries in flight on 2 Ps, 1 thread replacing; 0.2 s a setting"),
            std::string::npos)
      << output;
  EXPECT_NE(output.find("\n  waited "), std::string::npos) << output;
  EXPECT_NE(output.find("400 answers compared with the plain implementation, 0 wrong"), std::string::npos)
      << output;

  std::FILE* file = std::fopen(json.c_str(), "r");
  ASSERT_NE(file, nullptr);
  std::string text(buffer, std::fread(buffer, 1, sizeof buffer, file));
  std::fclose(file);
  std::remove(json.c_str());
  EXPECT_EQ(text.rfind("{\"in_flight\": 300, \"procs\": 2, ", 0), 0u);
  EXPECT_NE(text.find("{\"setting\": \"limit 64MiB\", \"build_s\": "), std::string::npos);
}

}  // namespace
