// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// When every goroutine waits for good the program ends with status 2 and says who waits for what; and never otherwise.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>
#include <string>

#include "process/process.h"

namespace {

using process::outcome;
using testing::HasSubstr;

constexpr char k_asleep[] = "all goroutines are asleep - deadlock!";

outcome scene(const char* name, std::vector<std::string> env = {}) {
  return process::run(CAIRN_DEADLOCK_CHILD, {name}, std::move(env), std::chrono::seconds(60));
}
void expect_deadlock(const char* name, std::vector<std::string> env = {}) {
  const outcome o = scene(name, std::move(env));
  EXPECT_EQ(o.exit_status, 2) << o;
  EXPECT_THAT(o.err, HasSubstr(k_asleep)) << o;
}
void expect_well(const char* name, std::vector<std::string> env = {}) {
  const outcome o = scene(name, std::move(env));
  EXPECT_EQ(o.exit_status, 0) << o;
  EXPECT_EQ(o.err, "") << o;
}

// The lines of the message that are about one goroutine.
std::vector<std::string> listed(const std::string& text, const std::string& id) {
  std::vector<std::string> found;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (line.rfind("goroutine " + id + " [", 0) == 0) found.push_back(line);
  return found;
}

TEST(Deadlock, OfMainAloneIsReported) {
  const outcome o = scene("main_waits");
  EXPECT_EQ(o.exit_status, 2) << o;
  EXPECT_THAT(o.err, HasSubstr(k_asleep)) << o;
  const auto mine = listed(o.err, o.out.substr(0, o.out.find('\n')));
  ASSERT_EQ(mine.size(), 1u) << o;
  EXPECT_THAT(mine[0], HasSubstr("wait_group")) << o;
}

TEST(Deadlock, TheListSaysWhatEachWaitsFor) {
  const outcome o = scene("others_wait_too");
  EXPECT_EQ(o.exit_status, 2) << o;
  EXPECT_THAT(o.err, HasSubstr(k_asleep)) << o;
  std::istringstream ids(o.out);
  std::string id;
  std::getline(ids, id);  // main's comes first
  const auto main = listed(o.err, id);
  ASSERT_EQ(main.size(), 1u) << o;
  EXPECT_THAT(main[0], HasSubstr("task")) << o;
  int others = 0;
  while (std::getline(ids, id)) {
    const auto other = listed(o.err, id);
    ASSERT_EQ(other.size(), 1u) << o;
    EXPECT_THAT(other[0], HasSubstr("wait_group")) << o;
    ++others;
  }
  EXPECT_EQ(others, 3) << o;
}

TEST(Deadlock, TheListNamesTheWayOfWaitingAtAChannel) {
  const outcome o = scene("at_channels");
  EXPECT_EQ(o.exit_status, 2) << o;
  std::istringstream lines(o.out);
  int found = 0;
  for (std::string id, what; lines >> id && std::getline(lines >> std::ws, what); ++found) {
    const auto one = listed(o.err, id);
    ASSERT_EQ(one.size(), 1u) << o;
    EXPECT_THAT(one[0], HasSubstr("[" + what + "]")) << o;
  }
  EXPECT_EQ(found, 6) << o;
}
TEST(Deadlock, OfGoroutinesAtChannels) {
  expect_deadlock("a_full_channel");
  expect_deadlock("channels_that_wait_for_each_other");
}
TEST(Deadlock, OfTasksThatWaitForEachOther) { expect_deadlock("a_ring_of_tasks"); }
TEST(Deadlock, IsFoundAfterSomeWork) { expect_deadlock("only_after_some_work"); }
TEST(Deadlock, IsFoundBesideDelaysInTheRuntime) {
  expect_deadlock("only_after_some_work", {"CAIRNDEBUG=delay=50,seed=7"});
  expect_deadlock("others_wait_too", {"CAIRNDEBUG=delay=50,seed=8"});
}
TEST(Deadlock, IsFoundOnOneProcAndOnMany) {
  expect_deadlock("on_one_proc");
  expect_deadlock("on_eight_procs");
}
TEST(Deadlock, IsFoundInALaterRun) { expect_deadlock("in_the_second_run"); }
TEST(Deadlock, IsFoundWithLockedThreads) { expect_deadlock("with_locked_threads"); }
TEST(Deadlock, IsFoundAfterAttachedThreadsHaveEnded) {
  expect_deadlock("after_an_attached_thread_has_ended");
}
TEST(Deadlock, IsFoundAfterWaitsForDescriptors) { expect_deadlock("after_a_wait_for_a_descriptor"); }
TEST(Deadlock, GoexitOfMainLetsTheOthersRunOnBeforeIt) {
  const outcome o = scene("main_has_called_goexit");
  EXPECT_EQ(o.exit_status, 2) << o;
  EXPECT_EQ(o.out, "the other one ran on\n") << o;
  EXPECT_THAT(o.err, HasSubstr("deadlock!")) << o;
}
TEST(Deadlock, GoexitOfMainWhileTheOthersWait) { expect_deadlock("main_has_called_goexit_and_others_wait"); }

TEST(NoDeadlock, WhileOneSleeps) { expect_well("a_sleeper_will_wake_them"); }
TEST(NoDeadlock, WhileOneIsInTheKernel) {
  expect_well("one_is_in_blocking");
  expect_well("one_blocks_undeclared");
}
TEST(NoDeadlock, WhileOneRuns) { expect_well("one_only_spins"); }
TEST(NoDeadlock, WhileAThreadIsAttached) {
  expect_well("an_attached_thread_will_wake_them");
  expect_well("all_wait_while_a_thread_is_attached");
}
TEST(NoDeadlock, WhileOneWaitsForADescriptor) {
  expect_well("one_waits_for_a_descriptor");
  expect_well("main_reads_again_and_again");
}
TEST(NoDeadlock, WhereAThreadWaitsForASleeper) { expect_well("a_thread_waits_for_a_sleeper"); }
TEST(NoDeadlock, WhileAThreadWillSend) { expect_well("a_thread_will_send"); }
TEST(NoDeadlock, BetweenRuns) { expect_well("between_runs"); }
TEST(NoDeadlock, WhileACleanupIsToCome) { expect_well("a_cleanup_will_wake_them"); }
TEST(NoDeadlock, BesideDelaysInTheRuntime) {
  for (const char* name :
       {"a_sleeper_will_wake_them", "one_is_in_blocking", "an_attached_thread_will_wake_them",
        "a_cleanup_will_wake_them", "one_waits_for_a_descriptor", "main_reads_again_and_again"})
    expect_well(name, {"CAIRNDEBUG=delay=50,seed=9"});
}

}  // namespace
