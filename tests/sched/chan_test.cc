// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The parts of channels that programs do not see: the lock, and what timers use.
#include "sched/chan.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <thread>
#include <vector>

#include "cairn/chan.h"
#include "cairn/go.h"
#include "cairn/run.h"
#include "scale.h"

namespace {

using namespace cairn::sched;
using cairn::detail::chan_access;

TEST(ChanOffer, TakesWhatThereIsRoomFor) {
  auto c = cairn::make_chan<std::int64_t>(1);
  chan_core& core = *chan_access::core(c);
  std::int64_t value = 5, back = 0;
  EXPECT_FALSE(withdraw(core, &back));
  EXPECT_TRUE(offer(core, &value));
  EXPECT_FALSE(offer(core, &value));
  EXPECT_TRUE(withdraw(core, &back));
  EXPECT_EQ(back, 5);
  EXPECT_FALSE(withdraw(core, &back));
  c.close();
  EXPECT_FALSE(offer(core, &value));
  EXPECT_FALSE(withdraw(core, &back));
}

// As sysmon does: the thread is not attached, and stays so.
TEST(ChanOffer, WakesAReceiverFromAThreadThatIsNotAttached) {
  cairn::run([] {
    cairn::go([] { cairn::sleep_for(std::chrono::hours(1)); });  // else it would look like a deadlock
    for (std::size_t capacity : {0u, 1u}) {
      auto c = cairn::make_chan<std::int64_t>(capacity);
      chan_core& core = *chan_access::core(c);
      std::atomic<bool> attached{true};
      std::thread outside([&] {
        const std::int64_t value = 6;
        while (!offer(core, &value)) std::this_thread::yield();
        attached = current() != nullptr;
      });
      EXPECT_EQ(c.recv(), 6);
      cairn::blocking([&] { outside.join(); });
      EXPECT_FALSE(attached);
    }
  });
}

}  // namespace
