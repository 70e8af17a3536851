// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What goroutines do to the process: exceptions that leave them, main returning before them, and limits of the system.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "process/process.h"

namespace {

using process::outcome;
using testing::AnyOf;
using testing::HasSubstr;
using testing::StartsWith;

outcome scene(const char* name, std::vector<std::string> env = {}) {
  return process::run(CAIRN_GOROUTINE_CHILD, {name}, std::move(env), std::chrono::seconds(100));
}
// Nothing of what is on the goroutines' stacks is destroyed, and nothing said.
void expect_silence(const char* name) {
  const outcome o = scene(name);
  EXPECT_EQ(o.exit_status, 0) << name << ": " << o;
  EXPECT_EQ(o.out + o.err, "") << name << ": " << o;
}
// Goroutines that cannot be ended are left running, which is said.
void expect_left(const char* name) {
  const outcome o = scene(name);
  EXPECT_EQ(o.exit_status, 0) << name << ": " << o;
  EXPECT_THAT(o.err, HasSubstr("goroutine")) << name << ": " << o;
}
std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

TEST(GoroutineEnd, AnExceptionEndsTheProgramWithTheId) {
  for (const char* name : {"an_exception_after_parks", "an_exception_beside_others"}) {
    const outcome o = scene(name);
    EXPECT_EQ(o.exit_status, 2) << o;
    EXPECT_THAT(o.err, HasSubstr("goroutine " + first_line(o.out))) << o;
    EXPECT_THAT(o.err, AnyOf(HasSubstr("std::runtime_error"), HasSubstr("std::out_of_range"))) << o;
    EXPECT_THAT(o.err, AnyOf(HasSubstr("left alone"), HasSubstr("rethrown"))) << o;
    // The stack that threw, and where the goroutine came from.
    EXPECT_THAT(o.err, HasSubstr("goroutine " + first_line(o.out) + " [running]:\n")) << o;
    EXPECT_THAT(o.err, AnyOf(HasSubstr("throws_at_depth(int)\n"), HasSubstr("rethrows()\n"))) << o;
    EXPECT_THAT(o.err, HasSubstr(std::string(name) + "()")) << o;
    EXPECT_THAT(o.err, HasSubstr("created by ")) << o;
  }
}
TEST(GoroutineEnd, AnExceptionIsReportedWholeAlsoIfMainReturnsMeanwhile) {
  const outcome o = scene("an_exception_while_main_returns");
  EXPECT_EQ(o.exit_status, 2) << o;
  EXPECT_THAT(o.err, HasSubstr("slow_to_say: said at last\n")) << o;
  EXPECT_THAT(o.err, HasSubstr("goroutine " + first_line(o.out) + " [running]:\n")) << o;
  EXPECT_THAT(o.err, HasSubstr("created by ")) << o;
}
TEST(GoroutineEnd, AForeignExceptionIsNotTakenForTheOneInWhoseHandlerItWasRaised) {
  const outcome o = scene("a_foreign_exception_in_a_handler");
  EXPECT_EQ(o.exit_status, 2) << o;
  EXPECT_THAT(o.err, HasSubstr("left goroutine " + first_line(o.out) + "\n")) << o;
  EXPECT_THAT(o.err, HasSubstr("raises_a_foreign_one()\n")) << o;
  EXPECT_THAT(o.err, Not(HasSubstr("handled"))) << o;
}
TEST(GoroutineEnd, ASwallowedGoexitAborts) {
  const outcome o = scene("a_swallowed_goexit");
  EXPECT_EQ(o.signal, SIGABRT) << o;
  EXPECT_THAT(o.err, HasSubstr("goroutine " + first_line(o.out))) << o;
  EXPECT_THAT(o.err, HasSubstr("rethrow")) << o;
}
TEST(GoroutineEnd, AThrowFromNoexceptTerminates) {
  const outcome o = scene("a_throw_from_noexcept");
  EXPECT_EQ(o.signal, SIGABRT) << o;
  EXPECT_THAT(o.err, HasSubstr("terminate")) << o;
}
TEST(GoroutineEnd, ExitFromOneEndsTheProgram) {
  const outcome o = scene("exit_from_a_goroutine");
  EXPECT_EQ(o.exit_status, 7) << o;
}

TEST(RunEnd, DropsParkedGoroutines) { expect_silence("parked_ones_are_dropped"); }
TEST(RunEnd, FreesWhatTheyHeld) { expect_silence("what_parked_ones_held_dies"); }
TEST(RunEnd, DropsThoseThatHaveNotBegun) { expect_silence("new_ones_are_dropped"); }
TEST(RunEnd, EndsThoseThatCall) { expect_silence("yielding_ones_end"); }
TEST(RunEnd, LeavesThoseThatSpin) { expect_left("spinning_ones_are_left"); }
TEST(RunEnd, LeavesMallocWorking) { expect_left("in_the_middle_of_malloc"); }
TEST(RunEnd, LeavesAMutexThatGoroutinesUse) { expect_left("holding_a_mutex"); }
TEST(RunEnd, LeavesAMutexLocked) { expect_left("inside_a_critical_section"); }
TEST(RunEnd, LeavesThoseInTheKernel) { expect_left("blocked_in_the_kernel"); }
TEST(RunEnd, KeepsDroppedStacksForThoseThatRun) { expect_silence("stacks_are_kept_for_those_that_run"); }
TEST(RunEnd, MayComeWhileTheyCollect) { expect_silence("while_a_collection_runs"); }
TEST(RunEnd, ByAnExceptionOfMain) { expect_silence("main_throws_beside_others"); }
TEST(RunEnd, AHundredTimes) { expect_silence("many_runs"); }
TEST(RunEnd, BesideDelaysInTheRuntime) {
  for (const char* name :
       {"parked_ones_are_dropped", "yielding_ones_end", "many_runs", "while_a_collection_runs"}) {
    const outcome o = scene(name, {"CAIRNDEBUG=delay=20,seed=3,check=2"});
    EXPECT_EQ(o.exit_status, 0) << name << ": " << o;
    EXPECT_EQ(o.out, "") << name << ": " << o;
  }
}

// No more threads. Which of the ways out it is depends on when one is refused.
void expect_told(const char* name) {
  const outcome o = scene(name);
  if (o.exit_status == 77) GTEST_SKIP() << "only root can become another user";
  EXPECT_FALSE(o.timed_out) << o;
  if (o.exit_status == 2) {
    EXPECT_THAT(o.err, HasSubstr("thread")) << o;
  } else {
    EXPECT_EQ(o.exit_status, 0) << o;
    EXPECT_THAT(o.out, AnyOf(StartsWith("went well"), StartsWith("system_error"))) << o;
  }
}
TEST(Limits, NoThreadAtTheStart) { expect_told("no_thread_at_the_start"); }
TEST(Limits, NoThreadLater) { expect_told("no_thread_later"); }

TEST(Limits, NoMemoryForStacks) {
  const outcome o = scene("no_memory_for_stacks");
  EXPECT_FALSE(o.timed_out) << o;
  if (o.exit_status == 2) {
    EXPECT_THAT(o.err, HasSubstr("stack")) << o;
  } else {
    EXPECT_EQ(o.exit_status, 0) << o;
    EXPECT_THAT(o.out, AnyOf(StartsWith("bad_alloc"), StartsWith("system_error"), StartsWith("went well")))
        << o;
  }
}

}  // namespace
