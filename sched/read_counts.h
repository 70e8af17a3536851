// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Of an m: how often mutexes of readers and writers were locked for reading on it, less how often they were unlocked.
// See sched/rw_mutex.cc. They are told apart not by their addresses but by the numbers of their biases, which are used
// once in a process: a count that nobody ever collects, of a mutex that was given up while it was held, is never
// taken for that of another one.
//
// A place is found by the number's last bits and holds number and count in one word. One whose count is 0 may be
// taken by another bias.
//
// Owner: the thread, in a window on the mutex in which it has seen that bias. collect() is for who has ended the bias
// and waited for the windows, so of one bias they never meet; and the owner leaves the place alone as long as its
// count is not 0.
#pragma once
#include <atomic>
#include <cstdint>

namespace cairn::sched {

class read_counts {
 public:
  static constexpr unsigned k_places = 16;
  static constexpr std::uint64_t k_most = 0xffff;
  // The number of a bias, in the place of the upper 48 bits. 0 is nobody's.
  static constexpr std::uint64_t k_one_bias = k_most + 1;

  // False: the place is another one's, or full.
  [[nodiscard]] bool add(std::uint64_t bias) noexcept {
    std::atomic<std::uint64_t>& place = place_of(bias);
    std::uint64_t v = place.load(std::memory_order_relaxed);
    if ((v ^ bias) >= k_most) [[unlikely]] {
      if ((v & k_most) != 0) return false;
      v = bias;
    }
    place.store(v + 1, std::memory_order_relaxed);  // here and below: the window's end publishes it
    return true;
  }
  // False: it counts none.
  [[nodiscard]] bool take(std::uint64_t bias) noexcept {
    std::atomic<std::uint64_t>& place = place_of(bias);
    const std::uint64_t v = place.load(std::memory_order_relaxed);
    if ((v ^ bias) - 1 >= k_most) return false;
    place.store(v - 1, std::memory_order_relaxed);
    return true;
  }
  // How many it counts, and from now on none.
  std::uint64_t collect(std::uint64_t bias) noexcept {
    std::atomic<std::uint64_t>& place = place_of(bias);
    const std::uint64_t v = place.load(std::memory_order_relaxed);
    if ((v ^ bias) - 1 >= k_most) return 0;
    place.store(bias, std::memory_order_relaxed);
    return v & k_most;
  }

  // Of all biases. By the owner, or while it does nothing.
  std::uint64_t total() const noexcept {
    std::uint64_t sum = 0;
    for (const auto& place : places_) sum += place.load(std::memory_order_relaxed) & k_most;
    return sum;
  }

 private:
  std::atomic<std::uint64_t>& place_of(std::uint64_t bias) noexcept {
    return places_[bias / k_one_bias % k_places];
  }
  std::atomic<std::uint64_t> places_[k_places] = {};
};

}  // namespace cairn::sched
