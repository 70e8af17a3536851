// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What the parts of the soak are made of: a kind is one way to use the library, with counts that must come out. Many
// goroutines and threads call act() of all kinds at random during a round; main calls begin() before them and end()
// when they are all through. What a kind makes of collected objects for a round it drops at its end.
#pragma once
#include <cairn/cairn.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

#include "api/procs.h"
#include "stress/storm.h"

namespace soak {

using namespace cairn_test;
using namespace std::chrono_literals;
using cairn::sync::wait_group;

constexpr int k_procs = 8;

class kind {
 public:
  // In `weight` of 64 acts or so.
  explicit kind(const char* name, unsigned weight = 2) : name_(name), weight_(weight) {}
  virtual ~kind() = default;
  kind(const kind&) = delete;
  kind& operator=(const kind&) = delete;

  const char* name() const { return name_; }
  unsigned weight() const { return weight_; }
  std::uint64_t acts() const { return acts_; }

  virtual void begin() {}
  void do_one(random_source& random) {
    act(random);
    acts_.fetch_add(1, std::memory_order_relaxed);
    storm.steps.fetch_add(1, std::memory_order_relaxed);
  }
  virtual void end() {}

 private:
  // By any number at once; comes to its end whatever the others do.
  virtual void act(random_source& random) = 0;

  const char* name_;
  unsigned weight_;
  std::atomic<std::uint64_t> acts_{0};
};

inline void expect(bool holds, const char* otherwise) {
  if (!holds) [[unlikely]]
    fail(otherwise);
}

inline std::atomic<std::uint64_t> next_id{1};

// So many, and which ones: what goes in must come out.
class tally {
 public:
  void add(std::uint64_t id) {
    ++count_;
    sum_ += id;
  }
  std::uint64_t count() const { return count_; }
  bool operator==(const tally& o) const { return count_ == o.count_ && sum_ == o.sum_; }

 private:
  std::atomic<std::uint64_t> count_{0}, sum_{0};
};

inline void sometimes_yield(random_source& random) {
  if (random() % 4 == 0) cairn::yield();
}

}  // namespace soak
