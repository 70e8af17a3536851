// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The runtime's signals beside those of the program.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "process/process.h"

namespace {

using process::outcome;
using testing::HasSubstr;

outcome scene(const char* name, std::vector<std::string> env = {}) {
  return process::run(CAIRN_SIGNAL_CHILD, {name}, std::move(env));
}
void expect_well(const char* name, std::vector<std::string> env = {}) {
  const outcome o = scene(name, std::move(env));
  EXPECT_EQ(o.exit_status, 0) << o;
  EXPECT_EQ(o.err, "") << o;
}

TEST(Signal, AnEarlierHandlerGetsWhatIsNotTheRuntimes) { expect_well("earlier_handler_is_chained"); }
TEST(Signal, AnEarlierHandlerGetsItsSiginfo) { expect_well("earlier_siginfo_handler_is_chained"); }
TEST(Signal, AnotherOneMayBeChosen) {
  expect_well("another_signal", {"CAIRNSIGNAL=SIGUSR2"});
  expect_well("another_signal", {"CAIRNSIGNAL=12"});
}
TEST(Signal, ABadChoiceIsReported) {
  const outcome o = scene("earlier_handler_is_chained", {"CAIRNSIGNAL=SIGKILL"});
  EXPECT_EQ(o.exit_status, 0) << o;
  EXPECT_THAT(o.err, HasSubstr("CAIRNSIGNAL"));
}
TEST(Signal, AThreadThatBlocksItIsNamedAfterASecond) {
  const outcome o = scene("a_thread_that_blocks_the_signal");
  EXPECT_EQ(o.exit_status, 0) << o;
  EXPECT_THAT(o.err, HasSubstr("stubborn"));
  EXPECT_THAT(o.err, HasSubstr(o.out.substr(0, o.out.find('\n'))));
}
TEST(Signal, AttachingUnblocksIt) { expect_well("attaching_unblocks"); }
TEST(Signal, AUsersSigsegvHandlerWorks) { expect_well("users_sigsegv_handler"); }
TEST(Signal, ASigsegvHandlerMayRepair) { expect_well("sigsegv_handler_that_repairs"); }
TEST(Signal, ASegvOfTheProgramStillKillsIt) {
  const outcome o = scene("plain_segv");
  EXPECT_EQ(o.signal, SIGSEGV) << o;
}
TEST(Signal, SleepsEndEarlyAtWorst) { expect_well("sleeps_may_be_interrupted"); }
TEST(Signal, ReadsAreRestarted) { expect_well("reads_are_restarted"); }

TEST(Signal, WhereItIsForbiddenGoroutinesTakeTurnsAndCollectionsEndAndItIsSaidOnce) {
  const outcome o = scene("signals_are_forbidden");
  if (o.exit_status == 77) GTEST_SKIP() << "no seccomp filters";
  EXPECT_EQ(o.exit_status, 0) << o;
  EXPECT_THAT(o.err, testing::StartsWith("cairn: the system refuses rt_tgsigqueueinfo"));
  EXPECT_THAT(o.err, HasSubstr("errno 1"));
  EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
}

}  // namespace
