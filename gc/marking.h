// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What the running cycle shares with the threads of the program: its phase, the pace of assists, and what these have
// done. See gc/concurrent.h for the cycle, gc/assist.cc for assists.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "cairn/gc.h"
#include "gc/pacer.h"

namespace cairn::gc {

struct marking {
  // Written by whoever runs the cycle. Waited for (futex) by threads that are far ahead of the collector.
  std::atomic<std::uint32_t> phase_word{0};
  phase current() const noexcept {
    return static_cast<phase>(phase_word.load(std::memory_order_acquire) & 3);
  }

  // ---- the pace. Written by whoever runs the cycle; relaxed: a stale one is a slice old.
  std::atomic<double> work_per_byte{0};
  std::atomic<double> bytes_per_work{0};
  std::atomic<std::size_t> triggered{0};  // heap_live when the cycle began
  // Threads of the program that were neither waiting nor inside blocking() at the last handshake, or when
  // gc/share.cc looked.
  std::atomic<int> running{0};
  // Owner, as for `triggered`: whoever runs the cycle. Relaxed: who keeps the pace may just be late, and its price is
  // one of the last cycle's, for 100 us at most.
  std::atomic<std::size_t> expected_scan{0};
  std::atomic<std::size_t> scanned{0};        // bytes, by all
  std::atomic<std::ptrdiff_t> credit{0};      // work of the background that no assist has been spared for yet
  std::atomic<std::uint64_t> last_update{0};  // when the pace was computed

  // Workers report what they scanned, a slice at a time. Any thread.
  void add_background_work(std::size_t bytes) noexcept;
  // The same of what is in `scanned` already.
  void add_credit(std::size_t bytes) noexcept;
  void update_pace() noexcept;
  // The same, if the last time is 100 us back.
  void keep_pace(std::uint64_t now) noexcept;

  // ---- assists. The door is closed while the cycle looks whether marking is over; see gc/guest.h.
  std::atomic<bool> door_open{false};
  std::atomic<std::uint64_t> assist_ns{0};

  // Bytes born marked in this cycle, by threads that have given their count.
  std::atomic<std::size_t> black_bytes{0};
  // The longest time that a handshake of this cycle kept a thread from running.
  std::atomic<std::uint64_t> longest_pause_ns{0};
};

}  // namespace cairn::gc
