// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Goroutines beside the threads that are measured: parked ones, ten frames deep, whose stacks a cycle has to scan; and
// running ones, each of which wakes every ten milliseconds, makes a short list of objects, follows it and sleeps again.
#pragma once
#include <atomic>
#include <cstddef>

#include <cairn/cairn.h>

namespace pause_bench {

class company {
 public:
  // Returns when all are where they belong. Throws std::bad_alloc.
  company(std::size_t parked, std::size_t running);
  // Wakes all, and returns when they have ended.
  ~company();
  company(const company&) = delete;
  company& operator=(const company&) = delete;

  // Whether the running ones make new objects (the default), or follow those that they have.
  void allocate(bool fresh) noexcept { fresh_ = fresh; }
  // Rounds of the running ones.
  std::size_t rounds() const noexcept { return rounds_; }

 private:
  void park_at_depth(int frames);
  void run(std::size_t number);

  std::atomic<bool> fresh_{true}, over_{false};
  std::atomic<std::size_t> rounds_{0};
  cairn::chan<void> end_;
  cairn::sync::wait_group arriving_, all_;
};

}  // namespace pause_bench
