// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Messages, exit statuses and assertions.
#include "heap/fatal.h"

#include <cerrno>
#include <csignal>
#include <string>

#include <gtest/gtest.h>

#include "cairn/detail/assert.h"
#include "heap/delay.h"

namespace cairn::heap {
namespace {

template <class F>
std::string said_by(F f) {
  testing::internal::CaptureStderr();
  f();
  return testing::internal::GetCapturedStderr();
}

TEST(Fatal, ReportPrintsALineAndGoesOn) {
  errno = 77;
  std::string said = said_by([] { report("{} at {}", "thing", static_cast<void*>(nullptr)); });
  EXPECT_EQ(said, "cairn: thing at 0x0\n");
  EXPECT_EQ(errno, 77);
}

TEST(Fatal, LongMessagesAreCutAndKeepTheirNewline) {
  std::string text(5000, 'x');
  std::string said = said_by([&] { report("{}", text); });
  EXPECT_EQ(said, "cairn: " + std::string(k_message_bytes - 7, 'x') + "\n");
}

TEST(FatalDeathTest, FatalErrorAborts) {
  EXPECT_EXIT(fatal_error("span {:#x} has {} objects", 0x2000, 3), testing::KilledBySignal(SIGABRT),
              "^cairn: fatal error: span 0x2000 has 3 objects\n$");
}

TEST(FatalDeathTest, EndProgramExitsWithStatusTwo) {
  EXPECT_EXIT(end_program("all goroutines are asleep"), testing::ExitedWithCode(2),
              "^cairn: fatal error: all goroutines are asleep\n$");
}

TEST(FatalDeathTest, FatalErrorPrintsHowToRepeatTheDelays) {
  EXPECT_EXIT(
      {
        set_delays(1000, 4711);
        maybe_delay("test.point");
        fatal_error("broken");
      },
      testing::KilledBySignal(SIGABRT),
      "fatal error: broken\n.*CAIRNDEBUG=delay=1000,seed=4711; this thread's last one was at test.point\n$");
}

TEST(FatalDeathTest, ChecksAreAlwaysOn) {
  int two = 2;
  EXPECT_EXIT(CAIRN_CHECK(two == 3, "two is three"), testing::KilledBySignal(SIGABRT),
              "cairn: fatal error: two is three at fatal_test.cc:[0-9]+ \\(two == 3\\)");
}

TEST(FatalDeathTest, AssertionsFollowTheLevel) {
  cairn::detail::check_level = 0;
  CAIRN_ASSERT(false, "off");
  CAIRN_INVARIANT(false, "off");
  cairn::detail::check_level = 1;
  CAIRN_INVARIANT(false, "off");
  EXPECT_EXIT(CAIRN_ASSERT(false, "on at 1"), testing::KilledBySignal(SIGABRT), "on at 1");
  cairn::detail::check_level = 2;
  EXPECT_EXIT(CAIRN_INVARIANT(false, "on at 2"), testing::KilledBySignal(SIGABRT), "on at 2");
  cairn::detail::check_level = 0;
}

}  // namespace
}  // namespace cairn::heap
