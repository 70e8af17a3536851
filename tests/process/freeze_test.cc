// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Freezing a thread holds up nothing that the process as a whole does: see D1 to D5 in sched/preempt.h.
#include <gtest/gtest.h>

#include "process/process.h"

namespace {

using process::outcome;

outcome scene(const char* name) {
  return process::run(CAIRN_FREEZE_CHILD, {name, CAIRN_ROOTS_PLUGIN}, {}, std::chrono::seconds(100));
}

void expect_no_harm(const char* name) {
  const outcome o = scene(name);
  if (o.exit_status == 77) GTEST_SKIP() << "only root may change its user";
  EXPECT_EQ(o.exit_status, 0) << o;
  EXPECT_EQ(o.err, "") << o;
}

TEST(Freeze, IsNoObstacleToForkAndExec) { expect_no_harm("forks_and_execs"); }
TEST(Freeze, IsNoObstacleToLoadingLibraries) { expect_no_harm("loads_libraries"); }
TEST(Freeze, IsNoObstacleToSetuid) { expect_no_harm("changes_its_user"); }
TEST(Freeze, IsNoObstacleToCancellingThreads) { expect_no_harm("cancels_threads"); }
TEST(Freeze, IsNoObstacleToStartingThreads) { expect_no_harm("starts_threads"); }
TEST(Freeze, IsNoObstacleToExit) {
  const outcome o = scene("exits");
  EXPECT_EQ(o.exit_status, 3) << o;
  EXPECT_EQ(o.err, "") << o;
}

}  // namespace
