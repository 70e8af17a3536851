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
#include <optional>
#include <thread>
#include <vector>

#include "cairn/chan.h"
#include "cairn/go.h"
#include "cairn/run.h"
#include "cairn/select.h"
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

// Each does something with its own channel, then looks at the other one's: whoever comes later finds what the other one
// has done. Neither look takes a lock.
template <class Act, class Look, class Reset>
void act_both_and_look(Act act, Look look, Reset reset) {
  const auto a = cairn::make_chan<int>(1), b = cairn::make_chan<int>(1);
  const auto rounds = static_cast<int>(test_count(20'000));
  std::atomic<int> round{0}, done{0}, found{0};
  const auto play = [&](const cairn::chan<int>& own, const cairn::chan<int>& others, bool leads) {
    cairn::attach_thread attached;
    for (int i = 1; i <= rounds; ++i) {
      if (leads) {
        reset(own);
        reset(others);
        round.store(i);
      }
      while (round.load() != i) std::this_thread::yield();
      act(own);
      if (look(others)) found.fetch_add(1);
      done.fetch_add(1);
      while (done.load() < 2 * i) std::this_thread::yield();
      if (leads && found.exchange(0) == 0) std::abort();
    }
  };
  std::thread one([&] { play(a, b, true); }), two([&] { play(b, a, false); });
  one.join();
  two.join();
}

template <class Look>
void send_both_and_look(Look look) {
  act_both_and_look([](const cairn::chan<int>& c) { c.send(1); }, look,
                    [](const cairn::chan<int>& c) { (void)c.try_recv(); });
}

TEST(ChanWithoutTheLock, FindsByTryRecvWhatWasSentBefore) {
  send_both_and_look([](const cairn::chan<int>& c) { return c.try_recv().ok; });
}

TEST(ChanWithoutTheLock, FindsByTrySendTheRoomThatWasMadeBefore) {
  act_both_and_look([](const cairn::chan<int>& c) { c.recv(); },
                    [](const cairn::chan<int>& c) { return c.try_send(0); },
                    [](const cairn::chan<int>& c) { (void)c.try_send(1); });
}

TEST(ChanWithoutTheLock, FindsBySelectWhatWasSentBefore) {
  send_both_and_look([](const cairn::chan<int>& c) {
    return cairn::select(cairn::on_recv(c, [](std::optional<int>) {}), cairn::on_default([] {})) == 0;
  });
  const auto never = cairn::make_chan<int>(1);
  send_both_and_look([&never](const cairn::chan<int>& c) {
    return cairn::select(cairn::on_recv(never, [](std::optional<int>) {}),
                         cairn::on_recv(c, [](std::optional<int>) {}), cairn::on_default([] {})) == 1;
  });
}

}  // namespace
