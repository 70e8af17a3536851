// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// sched/cairn-gdb.py in a real gdb, on a program that stands at a breakpoint and on the core file of one that aborted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <string>
#include <vector>

#include "process/process.h"

namespace {

using process::outcome;
using testing::HasSubstr;

const std::string k_script = std::string("source ") + CAIRN_SOURCE_DIR + "/sched/cairn-gdb.py";

std::string find_gdb() {
  for (const char* path : {"/usr/bin/gdb", "/usr/local/bin/gdb"})
    if (std::filesystem::exists(path)) return path;
  return "";
}

outcome gdb(std::vector<std::string> commands, std::vector<std::string> program) {
  std::vector<std::string> arguments{"-batch", "-nx"};
  commands.insert(commands.begin(), {"set width 0", "set height 0", "handle SIGURG nostop noprint pass"});
  for (const std::string& c : commands) arguments.insert(arguments.end(), {"-ex", c});
  arguments.emplace_back("--args");
  arguments.insert(arguments.end(), program.begin(), program.end());
  // No waiting for symbols from elsewhere.
  return process::run(find_gdb(), arguments, {"DEBUGINFOD_URLS="}, std::chrono::seconds(200));
}

// What `goroutine all bt` says, by goroutine.
std::vector<std::string> blocks(const std::string& text) {
  std::vector<std::string> all;
  const std::regex heading("(^|\n)goroutine [0-9]+ \\[[^\n]*\\]:\n");
  for (auto at = std::sregex_iterator(text.begin(), text.end(), heading); at != std::sregex_iterator(); ++at) {
    const auto from = static_cast<std::size_t>(at->position());
    const std::size_t end = text.find("\n\n", from + 1);
    all.push_back(text.substr(from, end == std::string::npos ? end : end - from));
  }
  return all;
}
std::string block_with(const std::string& text, const std::string& function) {
  for (const std::string& block : blocks(text))
    if (block.find(function) != std::string::npos) return block;
  return "";
}

void expect_goroutines(const outcome& o) {
  EXPECT_EQ(blocks(o.out).size(), 5u) << o;
  const std::regex listed("\n  [0-9]+ \\[wait_group wait\\] cairn::sync::wait_group::wait");
  EXPECT_TRUE(std::regex_search(o.out, listed)) << o;
  const std::string waiting = block_with(o.out, "adds_and_waits");
  EXPECT_THAT(waiting, HasSubstr("[wait_group wait]:\n#0 ")) << o;
  EXPECT_THAT(waiting, HasSubstr("waits_for_ever")) << o;
  EXPECT_THAT(waiting, HasSubstr("cairn_context_entry")) << o;
  EXPECT_THAT(block_with(o.out, "waits_on_its_thread"), HasSubstr("[wait_group wait, locked to thread]:"))
      << o;
  EXPECT_THAT(block_with(o.out, "sleeps_in_the_kernel"), HasSubstr("[syscall]:")) << o;
  EXPECT_THAT(block_with(o.out, "spins_for_ever"),
              testing::AnyOf(HasSubstr("[running]:"), HasSubstr("[runnable, frozen]:")))
      << o;
}

class Gdb : public testing::Test {
 protected:
  void SetUp() override {
    if (find_gdb().empty()) GTEST_SKIP() << "there is no gdb here";
    const outcome o = gdb({"python print(1 + 1)"}, {"/bin/true"});
    if (o.out.find("2\n") == std::string::npos) GTEST_SKIP() << "this gdb has no Python: " << o;
  }
};

TEST_F(Gdb, ListsGoroutinesOfALiveProcess) {
  const outcome o = gdb({k_script, "break at_the_breakpoint", "run", "info goroutines", "goroutine all bt",
                         "python print('after:', gdb.newest_frame().name())"},
                        {CAIRN_QUIT_CHILD, "for_gdb"});
  if (o.has("ptrace") || o.has("not permitted")) GTEST_SKIP() << "no process can be traced here: " << o.err;
  expect_goroutines(o);
  EXPECT_TRUE(std::regex_search(o.out, std::regex("\n\\* [0-9]+ \\[running\\] .*at_the_breakpoint"))) << o;
  // The thread's own frames are back.
  EXPECT_TRUE(std::regex_search(o.out, std::regex("after: .*at_the_breakpoint"))) << o;
}

TEST_F(Gdb, RunsCommandsInThePlaceOfAGoroutine) {
  const outcome o = gdb({k_script, "break at_the_breakpoint", "run",
                         "python ids = [g.id for g in goroutines() if 'adds_and_waits' in "
                         "gdb.execute('goroutine %d bt' % g.id, to_string=True)]",
                         "python gdb.execute('goroutine %d bt 2' % ids[0])", "goroutine 4711 bt", "goroutine"},
                        {CAIRN_QUIT_CHILD, "for_gdb"});
  if (o.has("ptrace") || o.has("not permitted")) GTEST_SKIP() << "no process can be traced here: " << o.err;
  EXPECT_THAT(o.out, HasSubstr("\n#0 ")) << o;
  EXPECT_THAT(o.out, HasSubstr("\n#1 ")) << o;
  EXPECT_THAT(o.out, testing::Not(HasSubstr("\n#2 "))) << o;
  EXPECT_THAT(o.err, HasSubstr("there is no goroutine 4711")) << o;
}

TEST_F(Gdb, ListsGoroutinesOfACoreFile) {
  std::string pattern;
  std::getline(std::ifstream("/proc/sys/kernel/core_pattern"), pattern);
  if (pattern.empty() || pattern[0] == '|' || pattern.find('/') != std::string::npos)
    GTEST_SKIP() << "cores do not come into the working directory here: " << pattern;
  rlimit limit{};
  getrlimit(RLIMIT_CORE, &limit);
  if (limit.rlim_max != RLIM_INFINITY) GTEST_SKIP() << "cores are limited here";
  const std::filesystem::path folder = testing::TempDir() + "cairn_core_" + std::to_string(getpid());
  std::filesystem::create_directory(folder);
  const outcome crash = process::run(
      "/bin/sh", {"-c", "cd '" + folder.string() + "' && ulimit -c unlimited && exec '" + CAIRN_QUIT_CHILD +
                            "' for_gdb_by_core"});
  EXPECT_EQ(crash.signal, SIGABRT) << crash;
  std::string core;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) core = entry.path();
  if (!core.empty()) {
    expect_goroutines(
        gdb({k_script, "core-file " + core, "info goroutines", "goroutine all bt"}, {CAIRN_QUIT_CHILD}));
  }
  std::filesystem::remove_all(folder);
  if (core.empty()) GTEST_SKIP() << "the kernel has left no core";
}

}  // namespace
