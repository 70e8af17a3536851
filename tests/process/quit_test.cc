// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// SIGQUIT lists every goroutine and ends the program with status 2, whatever that is in the middle of.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "process/process.h"

namespace {

using process::outcome;
using testing::HasSubstr;
using testing::StartsWith;

outcome scene(const char* name, std::vector<std::string> env = {}) {
  return process::run(CAIRN_QUIT_CHILD, {name}, std::move(env), std::chrono::seconds(120));
}

// A goroutine of the list: its first line, and those below it.
struct entry {
  std::string heading, frames;
};
std::vector<entry> entries(const std::string& text) {
  std::vector<entry> all;
  const std::regex heading("goroutine [0-9]+ \\[[^\\]]+\\]:");
  std::istringstream lines(text);
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (std::regex_match(line, heading)) {
      all.push_back({line, ""});
      inside = true;
    } else if (line.empty()) {
      inside = false;
    } else if (inside) {
      all.back().frames += line + "\n";
    }
  }
  return all;
}
// Those in which a function is on the stack.
std::vector<entry> with(const std::vector<entry>& all, const std::string& function) {
  std::vector<entry> found;
  for (const entry& e : all)
    if (e.frames.find(function + "()\n") != std::string::npos) found.push_back(e);
  return found;
}

TEST(Quit, ListsWhatEachDoesAndWhere) {
  const outcome o = scene("everything");
  EXPECT_EQ(o.exit_status, 2) << o;
  EXPECT_THAT(o.err, StartsWith("SIGQUIT: quit\n\n")) << o;
  const auto all = entries(o.err);
  EXPECT_EQ(all.size(), 5u) << o;
  const auto waiting = with(all, "waits_for_ever");
  ASSERT_EQ(waiting.size(), 2u) << o;
  const auto locked = with(all, "waits_on_its_thread");
  ASSERT_EQ(locked.size(), 1u) << o;
  EXPECT_THAT(locked[0].heading, HasSubstr("[wait_group wait, locked to thread]:")) << o;
  for (const entry& e : waiting) {
    EXPECT_THAT(e.heading, HasSubstr("[wait_group wait")) << o;
    EXPECT_THAT(e.frames, HasSubstr("cairn::sync::wait_group::wait")) << o;
    EXPECT_THAT(e.frames, HasSubstr("created by ")) << o;
    EXPECT_THAT(e.frames, HasSubstr(" in goroutine ")) << o;
  }
  const auto blocked = with(all, "sleeps_in_the_kernel");
  ASSERT_EQ(blocked.size(), 1u) << o;
  EXPECT_THAT(blocked[0].heading, HasSubstr("[syscall]:")) << o;
  const std::regex place("\n\t[^\n]*/quit_child\\(\\+0x[0-9a-f]+\\) \\+0x[0-9a-f]+\n");
  EXPECT_TRUE(std::regex_search(blocked[0].frames, place)) << o;
}

TEST(Quit, ListsThoseThatRun) {
  const outcome o = scene("every_p_is_busy");
  EXPECT_EQ(o.exit_status, 2) << o;
  const auto all = entries(o.err);
  EXPECT_EQ(all.size(), 9u) << o;
  // Running, frozen, or not begun: all of them are there, and those that have begun are where they spin.
  const auto spinning = with(all, "spins_for_ever");
  EXPECT_GE(spinning.size(), 1u) << o;
  for (const entry& e : spinning)
    EXPECT_THAT(e.heading, testing::AnyOf(HasSubstr("[running]:"), HasSubstr("[runnable]:"))) << o;
}

TEST(Quit, WorksWhileNobodyRuns) {
  const outcome o = scene("nobody_runs");
  EXPECT_EQ(o.exit_status, 2) << o;
  EXPECT_EQ(with(entries(o.err), "waits_for_ever").size(), 4u) << o;
  EXPECT_EQ(entries(o.err).size(), 5u) << o;
}

TEST(Quit, WorksWhileALockOfTheRuntimeIsHeld) {
  const outcome o = scene("the_scheduler_is_stuck");
  EXPECT_EQ(o.exit_status, 2) << o;
  const auto all = entries(o.err);
  EXPECT_EQ(all.size(), 3u) << o;
  EXPECT_EQ(with(all, "waits_for_ever").size(), 1u) << o;
  EXPECT_EQ(with(all, "holds_a_lock_of_the_runtime").size(), 1u) << o;
}

TEST(Quit, WorksWhileTheWorldIsStopped) {
  const outcome o = scene("the_world_is_stopped");
  EXPECT_EQ(o.exit_status, 2) << o;
  const auto all = entries(o.err);
  EXPECT_EQ(all.size(), 3u) << o;
  EXPECT_EQ(with(all, "waits_for_ever").size(), 1u) << o;
  EXPECT_EQ(with(all, "stops_the_world").size(), 1u) << o;
}

TEST(Quit, ListsThousands) {
  const outcome o = scene("many");
  EXPECT_EQ(o.exit_status, 2);
  EXPECT_GE(entries(o.err).size(), 1000u);
  EXPECT_EQ(with(entries(o.err), "waits_for_ever").size(), entries(o.err).size() - 1);
}

TEST(Quit, ElidesWhatIsTooDeep) {
  const outcome o = scene("a_deep_one");
  EXPECT_EQ(o.exit_status, 2) << o;
  EXPECT_THAT(o.err, HasSubstr("...additional frames elided...\n")) << o;
  EXPECT_EQ(entries(o.err).size(), 2u) << o;
}

TEST(Quit, GoesOnWithoutBacktracesWhenNothingComesOut) {
  const outcome o = scene("the_demangler_hangs");
  EXPECT_EQ(o.exit_status, 2) << o;
  EXPECT_THAT(o.err, HasSubstr("cairn: nothing came out for 10 seconds")) << o;
  const std::regex heading("\ngoroutine [0-9]+ \\[[^\\]]+\\]");
  const auto n = std::distance(std::sregex_iterator(o.err.begin(), o.err.end(), heading), {});
  EXPECT_GE(n, 4) << o;
}

TEST(Quit, AStackThatCannotBeReadCostsThatOneOnly) {
  const outcome o = scene("a_broken_stack");
  EXPECT_EQ(o.exit_status, 2) << o;
  EXPECT_THAT(o.err, HasSubstr("the stack cannot be read")) << o;
  EXPECT_EQ(with(entries(o.err), "waits_for_ever").size(), 2u) << o;
}

TEST(Quit, IsLeftToAHandlerOfTheProgram) {
  const outcome o = scene("own_handler");
  EXPECT_EQ(o.exit_status, 0) << o;
  EXPECT_EQ(o.out, "handled\nwent on\n") << o;
  EXPECT_EQ(o.err, "") << o;
}

TEST(Quit, EndsAForkedChildAsItDoesByDefault) {
  const outcome o = scene("in_a_forked_child");
  EXPECT_EQ(o.exit_status, 0) << o;
  EXPECT_EQ(o.out, "signal 3\n") << o;
}

// ---- schedtrace ----------------------------------------------------------------------------------------------------

TEST(Schedtrace, LinesAreLaidOutAsGos) {
  const outcome o = scene("some_work", {"CAIRNDEBUG=schedtrace=50"});
  EXPECT_EQ(o.exit_status, 0) << o;
  const std::regex line(
      "SCHED [0-9]+ms: gomaxprocs=2 idleprocs=[0-2] threads=[0-9]+ spinningthreads=[0-9]+ "
      "needspinning=[0-9]+ "
      "idlethreads=[0-9]+ runqueue=[0-9]+ \\[ [0-9]+ [0-9]+ \\] schedticks=\\[ [0-9]+ [0-9]+ \\]");
  std::istringstream lines(o.err);
  int n = 0;
  for (std::string text; std::getline(lines, text); ++n) EXPECT_TRUE(std::regex_match(text, line)) << text;
  EXPECT_GE(n, 3) << o;
}

TEST(Schedtrace, GoesOnWhileAllIsIdle) {
  const outcome o = scene("nobody_runs", {"CAIRNDEBUG=schedtrace=20"});
  EXPECT_EQ(o.exit_status, 2) << o;
  const std::regex idle("SCHED [0-9]+ms: gomaxprocs=2 idleprocs=2 ");
  const auto n = std::distance(std::sregex_iterator(o.err.begin(), o.err.end(), idle), {});
  EXPECT_GE(n, 2) << o;
}

TEST(Schedtrace, DetailsHaveALineForEachPMAndG) {
  const outcome o = scene("some_work", {"CAIRNDEBUG=schedtrace=50,scheddetail=1"});
  EXPECT_EQ(o.exit_status, 0) << o;
  const std::string n = "([0-9]+|nil)";
  const std::regex line(
      "SCHED [0-9]+ms: gomaxprocs=2 idleprocs=[0-2] threads=[0-9]+ spinningthreads=[0-9]+ "
      "needspinning=[0-9]+ "
      "idlethreads=[0-9]+ runqueue=[0-9]+ gcwaiting=(true|false) nmidlelocked=[0-9]+ stopwait=[0-9]+ "
      "sysmonwait=(true|false)"
      "|  P[0-9]+: status=[0-9] schedtick=[0-9]+ syscalltick=[0-9]+ m=" +
      n +
      " runqsize=[0-9]+ gfreecnt=[0-9]+ timerslen=[0-9]+"
      "|  M[0-9]+: p=" +
      n + " curg=" + n +
      " mallocing=0 throwing=0 preemptoff=[a-z]* locks=[0-9]+ dying=0 spinning=(true|false) "
      "blocked=(true|false) "
      "lockedg=" +
      n +
      "|  M: the list is in use, or longer"
      "|  G[0-9]+: status=[0-9]\\([^)]*\\) m=" +
      n + " lockedm=" + n);
  std::istringstream lines(o.err);
  int goroutines = 0;
  for (std::string text; std::getline(lines, text);) {
    EXPECT_TRUE(std::regex_match(text, line)) << text;
    goroutines += text.find("=4(wait_group wait)") != std::string::npos;
  }
  EXPECT_GE(goroutines, 2) << o;
}

}  // namespace
