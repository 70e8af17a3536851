// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What a query takes down its figures with, and the line that queries stand in.
//
// A query has a recorder from its start to its end, and there are only as many as queries may be at work at once.
// Who finds none stands in line, first come, first served: that is where all queries in flight but a few are. Without
// a line the scheduler would favour a few too: a goroutine that is started runs next, in the slice of who started it,
// so a query that starts another at its end would keep its processor for its own followers for a slice of 10 ms, and
// thousands of others would not begin within a minute.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include <cairn/cairn.h>

#include "bench/depgraph/latency.h"
#include "bench/depgraph/query.h"

namespace depgraph {

// Owned by one query at a time, which may continue on another thread: the pool's lock orders one's entries before the
// next one's.
struct recorder {
  explicit recorder(query_source questions) : source(std::move(questions)) {}
  query_source source;
  std::array<histogram, k_query_kinds> latencies;
  histogram waits;
  progress meter;
};

class recorder_pool {
 public:
  recorder_pool(const query_source& questions, std::uint64_t seed, std::size_t count) {
    for (std::size_t i = 0; i < count; i++) {
      all_.push_back(std::make_unique<recorder>(questions.sibling(seed + i)));
      free_.push_back(all_.back().get());
    }
  }

  // From here on there are recorders to be had: before, all stand in line.
  void open() { left_.release(static_cast<std::int64_t>(all_.size())); }
  recorder& take() {
    left_.acquire();
    std::lock_guard held(lock_);
    recorder* taken = free_.back();
    free_.pop_back();
    return *taken;
  }
  void give(recorder& back) {
    {
      std::lock_guard held(lock_);
      free_.push_back(&back);
    }
    left_.release();
  }
  // When nobody has one any more.
  const std::vector<std::unique_ptr<recorder>>& all() const { return all_; }

 private:
  std::vector<std::unique_ptr<recorder>> all_;
  cairn::sync::semaphore left_{0};  // as many as may be taken: first in, first out
  cairn::sync::mutex lock_;
  std::vector<recorder*> free_;  // under lock_; its memory is there from the start
};

}  // namespace depgraph
