// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The pause benchmark as a program: its exit status, its table and its page.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "bench/pause/report_html.h"
#include "scale.h"

namespace {

using testing::HasSubstr;

struct outcome {
  int status;
  std::string output;  // both streams
};

outcome run_program(const std::string& arguments) {
  outcome out{};
  FILE* pipe = ::popen((std::string("'") + CAIRN_PAUSE + "' " + arguments + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return {-1, "popen failed"};
  char buffer[4096];
  for (std::size_t got; (got = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;)
    out.output.append(buffer, got);
  int status = ::pclose(pipe);
  out.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return out;
}

std::string read_file(const std::string& name) {
  std::ostringstream text;
  text << std::ifstream(name).rdbuf();
  return text.str();
}

std::string file_name(const char* ending) {
  return testing::TempDir() + "pause_" + std::to_string(::getpid()) + ending;
}

// The first violation: a tag closed that was not open, one left open, an attribute without quotes. Empty: none.
std::string markup_error(const std::string& page) {
  static const std::regex tag(R"re(<(/?)([a-zA-Z0-9]+)((?:\s+[a-z0-9A-Z-]+="[^"<>]*")*)\s*(/?)>)re");
  std::vector<std::string> open;
  std::string text = page.substr(page.find("<html"));
  const std::size_t style = text.find("<style>") + 7;
  text.erase(style, text.find("</style>") - style);
  const auto end = std::sregex_iterator();
  std::size_t matched = 0;
  for (std::sregex_iterator at(text.begin(), text.end(), tag); at != end; ++at, matched++) {
    const std::string name = (*at)[2];
    if (name == "meta" || (*at)[4] == "/") continue;
    if ((*at)[1] != "/") {
      open.push_back(name);
    } else {
      if (open.empty() || open.back() != name)
        return "unexpected </" + name + "> at " + std::to_string(at->position());
      open.pop_back();
    }
  }
  if (!open.empty()) return "not closed: " + open.back();
  const auto brackets = static_cast<std::size_t>(std::count(text.begin(), text.end(), '<'));
  return brackets == matched ? "" : "something with < is no tag";
}

void expect_self_contained(const std::string& page) {
  EXPECT_EQ(markup_error(page), "");
  for (const char* outside : {"http", "src=", "href=", "url(", "@import", "<script", "<link"}) {
    EXPECT_THAT(page, testing::Not(HasSubstr(outside)));
  }
  EXPECT_THAT(page, testing::Not(testing::ContainsRegex("[^a-z](nan|inf)[^a-z]")));
}

TEST(PauseProgram, HelpGoesToStandardOutputWithStatusZero) {
  outcome got = run_program("--help");
  EXPECT_EQ(got.status, 0);
  EXPECT_THAT(got.output, HasSubstr("usage: pause"));
}

TEST(PauseProgram, ABadOptionIsNamedWithStatusTwo) {
  outcome got = run_program("--shape cube");
  EXPECT_EQ(got.status, 2);
  EXPECT_THAT(got.output, HasSubstr("pause: --shape cube"));
  got = run_program("--live");
  EXPECT_EQ(got.status, 2);
  EXPECT_THAT(got.output, HasSubstr("--live: no value"));
}

TEST(PauseProgram, AFileThatCannotBeWrittenIsToldBeforeTheRun) {
  outcome got = run_program("--live 8M --duration 86400 --html /nonexistent/page.html");
  EXPECT_EQ(got.status, 1);
  EXPECT_THAT(got.output, HasSubstr("/nonexistent/page.html: cannot be written"));
}

TEST(PauseProgram, AShortRunPrintsTheTableAndWritesThePage) {
  const std::string page_name = file_name(".html");
  std::string seconds;
  outcome got;
  // Long enough for a cycle that kept somebody waiting, however slow the machine.
  for (long n = test_seconds(2).count(); n < 60; n *= 5) {
    seconds = std::to_string(n);
    got = run_program("--live 16M --duration " + seconds + " --warmup 0.3 --html '" + page_name + "'");
    ASSERT_EQ(got.status, 0) << got.output;
    if (got.output.find("  pauses  ") != got.output.npos && got.output.find("\n0 cycles") == got.output.npos)
      break;
  }
  for (const char* words : {"felt, with the collector", "control: collector off", "the collector's own record",
                            "p99.99", "  units  ", "  readings  ", "  inserts  ", "  batches  ",
                            "  bare slices  ", "  pauses  ", "felt / control", "cycles ended in "}) {
    EXPECT_THAT(got.output, HasSubstr(words));
  }
  std::smatch cycles;
  ASSERT_TRUE(std::regex_search(got.output, cycles, std::regex("\n(\\d+) cycles ended in"))) << got.output;
  EXPECT_GT(std::stoi(cycles[1]), 0);
  const std::string page = read_file(page_name);
  ::unlink(page_name.c_str());
  expect_self_contained(page);
  EXPECT_THAT(page, HasSubstr("--duration " + seconds));
  for (const char* words : {"How long a unit", "How long a reading", "How long an insert", "How long a batch",
                            "The heap, its goal", "Every interval longer", "prefers-color-scheme: dark"}) {
    EXPECT_THAT(page, HasSubstr(words));
  }
}

TEST(PauseProgram, EveryShapeAndModeRuns) {
  for (const char* options : {"--shape tree --threads 2 --allocators 2", "--shape arrays --rate 1M --repeat 2",
                              "--shape ring --live 8M --unit 0 --allocators 0", "--control only",
                              "--control off --percent off --memory-limit 40M", "--parked 500 --running 50"}) {
    outcome got = run_program("--live 8M --duration 0.3 --warmup 0.1 " + std::string(options));
    EXPECT_EQ(got.status, 0) << options << "\n" << got.output;
    EXPECT_THAT(got.output, HasSubstr("peak resident memory")) << options;
  }
}

TEST(PauseProgram, ASignalThatStoppedItIsTold) {
  outcome got = run_program(
      "--live 8M --duration 3 --warmup 0 --control off & pause=$!; "
      "while kill -STOP $pause 2>/dev/null; do sleep 0.2; kill -CONT $pause; sleep 0.4; done; wait $pause");
  EXPECT_EQ(got.status, 0);
  EXPECT_THAT(got.output, testing::ContainsRegex("was stopped [0-9]+ times? by a signal"));
}

TEST(PauseHtml, ARunInWhichNothingHappenedIsAPageToo) {
  pause_bench::experiment e;
  e.command = "pause '<&\">'";
  pause_bench::run_record run;
  run.seconds = 1;
  run.laps[0].alone.add(10'000);
  e.rounds.push_back({std::nullopt, run});
  e.what.control = pause_bench::control_mode::off;
  const std::string page = pause_bench::html_report(e);
  expect_self_contained(page);
  EXPECT_THAT(page, HasSubstr("pause '&lt;&amp;&quot;&gt;'"));
}

}  // namespace
