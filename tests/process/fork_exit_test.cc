// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// fork, exit, threads in numbers: the promises about the process as a whole.
#include <gtest/gtest.h>

#include "process/process.h"

namespace {

process::outcome scene(const char* name, std::vector<std::string> env = {}) {
  return process::run(CAIRN_FORK_EXIT_CHILD, {name}, std::move(env));
}

TEST(Fork, TheChildMayExec) {
  auto o = scene("fork_and_exec");
  EXPECT_EQ(o.exit_status, 0) << o;
}
TEST(Fork, TheChildMayLeave) {
  auto o = scene("fork_and_leave");
  EXPECT_EQ(o.exit_status, 0) << o;
}

// Any other use of the library in the child aborts with a message; the parent goes on.
class ForkThen : public testing::TestWithParam<const char*> {};
TEST_P(ForkThen, UseInTheChildAbortsWithAMessage) {
  auto o = scene(GetParam());
  EXPECT_EQ(o.exit_status, 100 + SIGABRT) << o;
  EXPECT_TRUE(o.has("fork")) << o;
}
INSTANTIATE_TEST_SUITE_P(Fork, ForkThen,
                         testing::Values("fork_and_allocate", "fork_and_collect", "fork_and_go",
                                         "fork_and_root", "fork_and_wait_readable"),
                         [](const auto& scene_of) {
                           std::string name = scene_of.param + 9;
                           name[0] = static_cast<char>(name[0] - 'a' + 'A');
                           return name;
                         });

TEST(Exit, StaticDestructorsMayUseTheHeap) {
  auto o = scene("exit_with_static_destructors");
  EXPECT_EQ(o.exit_status, 0) << o;
  EXPECT_EQ(o.out, "last words\n") << o;
}
TEST(Exit, WhileThreadsAllocateIsClean) {
  auto o = scene("exit_while_threads_run");
  EXPECT_EQ(o.exit_status, 0) << o;
  EXPECT_EQ(o.out, "last words\n") << o;
}
TEST(Exit, WhileACycleRunsIsClean) {
  auto o = scene("exit_while_a_cycle_runs");
  EXPECT_EQ(o.exit_status, 0) << o;
  EXPECT_EQ(o.out, "last words\n") << o;
}
TEST(Exit, RunsNoDestructorsOfManagedObjects) {
  auto o = scene("exit_runs_no_destructors");
  EXPECT_EQ(o.exit_status, 0) << o;
  EXPECT_EQ(o.out.find("destroyed"), std::string::npos) << o;
}
TEST(Exit, AfterRunIsClean) {
  auto o = scene("exit_after_run");
  EXPECT_EQ(o.exit_status, 0) << o;
  EXPECT_EQ(o.out, "last words\n") << o;
}
TEST(Exit, OfAProgramThatNeverUsedTheLibraryIsClean) {
  auto o = scene("never_used");
  EXPECT_EQ(o.exit_status, 0) << o;
  EXPECT_EQ(o.out + o.err, "") << o;
}
TEST(Exit, AStaticDestructorMayBeTheFirstToUseTheHeap) {
  auto o = scene("first_used_by_a_static_destructor");
  EXPECT_EQ(o.exit_status, 0) << o;
  EXPECT_EQ(o.out, "last words\n") << o;
}

TEST(Run, WaitsOneSecondForARunningGoroutineAndSaysSo) {
  auto o = scene("run_leaves_a_running_goroutine");
  EXPECT_EQ(o.exit_status, 0) << o;
  EXPECT_TRUE(o.has("goroutine")) << o;
}

TEST(Threads, TenThousandShortOnesLeaveNothing) {
  auto o = scene("ten_thousand_threads");
  EXPECT_EQ(o.exit_status, 0) << o;
}
TEST(Threads, TenThousandGoroutinesLeaveNothing) {
  auto o = scene("ten_thousand_goroutines_in_turn");
  EXPECT_EQ(o.exit_status, 0) << o;
}

}  // namespace
