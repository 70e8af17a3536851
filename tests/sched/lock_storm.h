// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A storm for locks that have a bias: goroutines enter and leave three places, each guarded by a lock, in every
// way there is. A place checks who is inside. It has
//   enter(), try_enter(), leave()   leave() maybe on another thread than enter()
//   k_actions                       one in so many is each of the actions that are common to all locks
//   act(action, random)             its own: from k_common on
//   is_consistent()                 in the end
//   seen_biased()                   how often somebody inside was there by the bias
#pragma once
#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <thread>

#include "cairn/go.h"
#include "cairn/run.h"
#include "cairn/sync.h"

namespace cairn::sched {

template <class Place>
class lock_storm {
 public:
  static constexpr std::uint64_t k_common = 5;

  lock_storm() : places_(3) {}

  void run(int procs, std::size_t rounds) {
    cairn::run(
        [this, rounds] {
          sync::wait_group all;
          for (std::uint64_t seed = 1; seed <= 12; ++seed)
            all.go([this, seed, rounds] { live(seed, rounds); });
          all.wait();
          others_.wait();
        },
        {.max_procs = procs});
    std::uint64_t biased = 0;
    for (Place& place : places_) {
      EXPECT_TRUE(place.is_consistent());
      biased += place.seen_biased();
    }
    EXPECT_GT(biased, 0u);
  }

 private:
  void live(std::uint64_t seed, std::size_t rounds) {
    std::uint64_t random = seed * 0x9e3779b97f4a7c15u + 1;
    for (std::size_t i = 0; i < rounds; ++i) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      act(places_[(random >> 60) % places_.size()], random >> 33);
    }
  }
  void act(Place& place, std::uint64_t random) {
    const std::uint64_t action = random % Place::k_actions;
    random /= Place::k_actions;
    switch (action) {
      case 0:  // left by another
        place.enter();
        return others_.go([&place] { place.leave(); });
      case 1:  // entered by a thread that ends
        if (random % 16 != 0) return;
        blocking([&place] { std::thread([&place] { place.enter(); }).join(); });
        return place.leave();
      case 2:
        place.enter();
        yield();
        return place.leave();
      case 3:
        place.enter();
        if (random % 8 == 0) sleep_for(std::chrono::microseconds(50));
        return place.leave();
      case 4:
        if (place.try_enter()) place.leave();
        return;
      default:
        place.act(action, random);
    }
  }

  std::deque<Place> places_;
  sync::wait_group others_;
};

}  // namespace cairn::sched
