// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The earlier handler has to be there before the runtime starts, so an initialiser of this file installs it.
#include "sched/signal.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/sched/support.h"

namespace cairn::sched {
namespace {

std::atomic<int> chained{0};
std::atomic<int> last_code{0};

const bool installed = [] {
  struct sigaction action = {};
  action.sa_sigaction = [](int, siginfo_t* info, void*) {
    last_code.store(info->si_code);
    chained.fetch_add(1);
  };
  action.sa_flags = SA_SIGINFO;
  return sigaction(SIGURG, &action, nullptr) == 0;
}();

TEST(Signal, OnesOfTheProgramsOwnGoToTheEarlierHandler) {
  ASSERT_TRUE(installed);
  self();
  chained = 0;
  ASSERT_EQ(kill(getpid(), SIGURG), 0);
  EXPECT_TRUE(eventually([] { return chained.load() == 1; }));
  EXPECT_EQ(last_code.load(), SI_USER);
  sigval value = {};
  ASSERT_EQ(sigqueue(getpid(), SIGURG, value), 0);
  EXPECT_TRUE(eventually([] { return chained.load() == 2; }));
  EXPECT_EQ(last_code.load(), SI_QUEUE);
  ASSERT_EQ(raise(SIGURG), 0);
  EXPECT_TRUE(eventually([] { return chained.load() == 3; }));
  EXPECT_EQ(last_code.load(), SI_TKILL);
}

TEST(Signal, TheRuntimesOwnDoNot) {
  self();
  std::atomic<int> ready{0};
  crowd threads;
  for (int i = 0; i < 4; ++i) {
    threads.add([&](const std::atomic<bool>& stop) {
      m& me = self();
      ready.fetch_add(1);
      while (!stop.load(std::memory_order_relaxed)) {
        runtime_section section(me);
        for (int n = 0; n < 50; ++n) asm volatile("");
      }
    });
  }
  ASSERT_TRUE(eventually([&] { return ready.load() == 4; }));
  chained = 0;
  for (int i = 0; i < 500; ++i) {
    world_stopped stopped = stop_the_world("test");
  }
  threads.end();
  EXPECT_EQ(chained.load(), 0);
}

}  // namespace
}  // namespace cairn::sched
