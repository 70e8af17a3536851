// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Parsing of the environment, what is complained about, and that docs/environment.md states the table.
#include "gc/options.h"

#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cairn::gc {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

parsed_options parse(const std::map<std::string, std::string, std::less<>>& variables) {
  return parse_options([&](std::string_view name) -> std::optional<std::string_view> {
    auto found = variables.find(name);
    if (found == variables.end()) return {};
    return found->second;
  });
}

// Of a variable whose value must be taken without complaint.
runtime_options good(const std::string& name, const std::string& value) {
  parsed_options p = parse({{name, value}});
  EXPECT_THAT(p.complaints, IsEmpty()) << name << "=" << value;
  return p.values;
}

// Of a variable whose value must be refused: the complaint quotes it, the values are the defaults.
void refused(const std::string& name, const std::string& value) {
  parsed_options p = parse({{name, value}});
  EXPECT_THAT(p.complaints, ElementsAre(AllOf(HasSubstr(name), HasSubstr(value), HasSubstr("default"))));
  runtime_options d;
  EXPECT_EQ(p.values.gc_percent, d.gc_percent);
  EXPECT_EQ(p.values.memory_limit, d.memory_limit);
  EXPECT_EQ(p.values.max_procs, d.max_procs);
  EXPECT_EQ(p.values.stack_size, d.stack_size);
  EXPECT_EQ(p.values.signal, d.signal);
}

TEST(Options, AreTheDefaultsInAnEmptyEnvironment) {
  parsed_options p = parse({});
  EXPECT_THAT(p.complaints, IsEmpty());
  EXPECT_EQ(p.values.gc_percent, 100);
  EXPECT_EQ(p.values.memory_limit, SIZE_MAX);
  EXPECT_EQ(p.values.max_procs, 0);
  EXPECT_EQ(p.values.stack_size, 256u << 10);
  EXPECT_EQ(p.values.signal, SIGURG);
  EXPECT_EQ(p.values.debug.gctrace, 0);
}

TEST(Options, TakeEmptyVariablesAsUnset) {
  parsed_options p = parse({{"CAIRNGC", ""},
                            {"CAIRNMEMLIMIT", ""},
                            {"CAIRNMAXPROCS", ""},
                            {"CAIRNSTACK", ""},
                            {"CAIRNSIGNAL", ""},
                            {"CAIRNDEBUG", ""}});
  EXPECT_THAT(p.complaints, IsEmpty());
  EXPECT_EQ(p.values.gc_percent, 100);
}

TEST(Options, ReadThePercent) {
  EXPECT_EQ(good("CAIRNGC", "off").gc_percent, -1);
  EXPECT_EQ(good("CAIRNGC", "0").gc_percent, 0);
  EXPECT_EQ(good("CAIRNGC", "400").gc_percent, 400);
  for (const char* bad : {"-1", "1e3", "50%", " 50", "50 ", "on", "OFF", "99999999999", "0x10", "+5"})
    refused("CAIRNGC", bad);
}

TEST(Options, ReadSizes) {
  EXPECT_EQ(parse_size("0"), 0u);
  EXPECT_EQ(parse_size("123"), 123u);
  EXPECT_EQ(parse_size("123B"), 123u);
  EXPECT_EQ(parse_size("2KiB"), 2048u);
  EXPECT_EQ(parse_size("3MiB"), std::size_t{3} << 20);
  EXPECT_EQ(parse_size("4GiB"), std::size_t{4} << 30);
  EXPECT_EQ(parse_size("5TiB"), std::size_t{5} << 40);
  EXPECT_EQ(parse_size("9223372036854775807"), std::size_t{INT64_MAX});
  for (const char* bad : {"", "B", "KiB", "4GB", "4G", "4 GiB", "4gib", "1.5GiB", "-1MiB", "0x10", "4KiBB",
                          "9223372036854775808", "8388608TiB", "99999999999999999999B"})
    EXPECT_EQ(parse_size(bad), std::nullopt) << bad;
}

TEST(Options, ReadTheMemoryLimit) {
  EXPECT_EQ(good("CAIRNMEMLIMIT", "4GiB").memory_limit, std::size_t{4} << 30);
  EXPECT_EQ(good("CAIRNMEMLIMIT", "1000000").memory_limit, 1'000'000u);
  EXPECT_EQ(good("CAIRNMEMLIMIT", "off").memory_limit, SIZE_MAX);
  for (const char* bad : {"4GB", "lots", "-5MiB"}) refused("CAIRNMEMLIMIT", bad);
}

TEST(Options, ReadTheNumberOfProcs) {
  EXPECT_EQ(good("CAIRNMAXPROCS", "1").max_procs, 1);
  EXPECT_EQ(good("CAIRNMAXPROCS", "64").max_procs, 64);
  for (const char* bad : {"0", "-2", "two", "99999999"}) refused("CAIRNMAXPROCS", bad);
}

TEST(Options, ReadTheStackSize) {
  EXPECT_EQ(good("CAIRNSTACK", "64KiB").stack_size, 64u << 10);
  EXPECT_EQ(good("CAIRNSTACK", "1048576").stack_size, 1u << 20);
  for (const char* bad : {"0", "4KiB", "1TiB", "big"}) refused("CAIRNSTACK", bad);
}

TEST(Options, ReadTheSignalByNameAndNumber) {
  EXPECT_EQ(good("CAIRNSIGNAL", "URG").signal, SIGURG);
  EXPECT_EQ(good("CAIRNSIGNAL", "SIGUSR2").signal, SIGUSR2);
  EXPECT_EQ(good("CAIRNSIGNAL", "USR1").signal, SIGUSR1);
  EXPECT_EQ(good("CAIRNSIGNAL", "12").signal, 12);
  EXPECT_EQ(good("CAIRNSIGNAL", "RTMIN").signal, SIGRTMIN);
  EXPECT_EQ(good("CAIRNSIGNAL", "SIGRTMIN+3").signal, SIGRTMIN + 3);
}

TEST(Options, RefuseSignalsThatTheRuntimeCannotTake) {
  for (const char* bad : {"SEGV", "KILL", "SIGSTOP", "QUIT", "9", "11", "32", "33", "0", "65", "-1", "urg",
                          "SIG", "RTMIN+99", "RTMIN+", "NOSUCH"})
    refused("CAIRNSIGNAL", bad);
}

TEST(Options, ReadTheDebugList) {
  debug_options d = good("CAIRNDEBUG",
                         "gctrace=1,schedtrace=1000,scheddetail=1,gcpacertrace=1,ptrcheck=1,"
                         "clobberfree=1,gccheckmark=1,gcstoptheworld=1,invalidptr=1,check=3,"
                         "delay=1000,seed=9223372036854775807")
                        .debug;
  EXPECT_EQ(d.gctrace, 1);
  EXPECT_EQ(d.schedtrace, 1000);
  EXPECT_EQ(d.scheddetail, 1);
  EXPECT_EQ(d.gcpacertrace, 1);
  EXPECT_EQ(d.ptrcheck, 1);
  EXPECT_EQ(d.clobberfree, 1);
  EXPECT_EQ(d.gccheckmark, 1);
  EXPECT_EQ(d.gcstoptheworld, 1);
  EXPECT_EQ(d.invalidptr, 1);
  EXPECT_EQ(d.check, 3);
  EXPECT_EQ(d.delay, 1000);
  EXPECT_EQ(d.seed, INT64_MAX);
}

TEST(Options, TakeTheLastOfTwoDebugValuesAndSkipEmptyOnes) {
  EXPECT_EQ(good("CAIRNDEBUG", ",check=1,,check=2,").debug.check, 2);
}

TEST(Options, ReportUnknownNamesAndKeepTheOthers) {
  parsed_options p = parse({{"CAIRNDEBUG", "gctrace=1,gctracer=1,check=2"}});
  EXPECT_THAT(p.complaints, ElementsAre(AllOf(HasSubstr("CAIRNDEBUG"), HasSubstr("gctracer=1"))));
  EXPECT_EQ(p.values.debug.gctrace, 1);
  EXPECT_EQ(p.values.debug.check, 2);
}

TEST(Options, ReportDebugValuesThatDoNotParse) {
  for (const char* bad : {"gctrace", "gctrace=", "gctrace=2", "gctrace=yes", "check=4", "delay=1001",
                          "seed=-1", "gctrace=1=1", "check= 1"}) {
    parsed_options p = parse({{"CAIRNDEBUG", std::string(bad) + ",ptrcheck=1"}});
    EXPECT_THAT(p.complaints, ElementsAre(AllOf(HasSubstr(bad), HasSubstr("default")))) << bad;
    EXPECT_EQ(p.values.debug.gctrace, 0) << bad;
    EXPECT_EQ(p.values.debug.check, 0) << bad;
    EXPECT_EQ(p.values.debug.ptrcheck, 1) << bad;
  }
}

TEST(Options, ReportEveryBadVariableOnce) {
  parsed_options p = parse({{"CAIRNGC", "x"}, {"CAIRNMAXPROCS", "0"}, {"CAIRNDEBUG", "a=1,b=2"}});
  EXPECT_EQ(p.complaints.size(), 4u);
}

TEST(Options, OfTheProcessAreCompleteAndComplaintsGoToStandardError) {
  ASSERT_EQ(setenv("CAIRNGC", "fast", 1), 0);
  ASSERT_EQ(unsetenv("CAIRNMAXPROCS"), 0);
  ASSERT_EQ(setenv("CAIRNDEBUG", "check=1", 1), 0);
  testing::internal::CaptureStderr();
  runtime_options o = options_from_environment();
  std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(said, "cairn: CAIRNGC=fast: expected a percentage from 0 on, or off; using the default, 100\n");
  EXPECT_EQ(o.gc_percent, 100);
  EXPECT_GE(o.max_procs, 1);
  EXPECT_EQ(o.debug.check, 1);
  EXPECT_GT(o.debug.seed, 0);
  ASSERT_EQ(unsetenv("CAIRNGC"), 0);
  ASSERT_EQ(setenv("CAIRNDEBUG", "seed=77", 1), 0);
  EXPECT_EQ(options_from_environment().debug.seed, 77);
}

TEST(Options, TableHasEachDefaultThatTheStructHas) {
  std::map<std::string, std::string> texts;
  for (const setting& s : settings()) texts[s.name] = s.default_text;
  EXPECT_EQ(texts.at("CAIRNGC"), std::to_string(runtime_options().gc_percent));
  EXPECT_EQ(parse_size(texts.at("CAIRNSTACK")), runtime_options().stack_size);
  EXPECT_EQ(good("CAIRNSIGNAL", texts.at("CAIRNSIGNAL")).signal, runtime_options().signal);
  EXPECT_EQ(good("CAIRNMEMLIMIT", texts.at("CAIRNMEMLIMIT")).memory_limit, runtime_options().memory_limit);
  for (const setting& s : settings()) {
    if (s.debug && s.name != std::string("seed")) {
      EXPECT_STREQ(s.default_text, "0") << s.name;
    }
  }
}

TEST(Options, TableNamesWhatTheParserTakesAndNothingElse) {
  for (const setting& s : settings()) {
    if (s.debug) {
      EXPECT_THAT(parse({{"CAIRNDEBUG", std::string(s.name) + "=1"}}).complaints, IsEmpty()) << s.name;
    } else {
      EXPECT_EQ(parse({{s.name, "?"}}).complaints.size(), 1u) << s.name;
    }
  }
}

// Rows of docs/environment.md: | `NAME` | default | effect |
TEST(Options, DocumentationStatesTheTable) {
  std::ifstream page(CAIRN_SOURCE_DIR "/docs/environment.md");
  ASSERT_TRUE(page);
  std::multiset<std::string> rows, expected;
  for (std::string line; std::getline(page, line);)
    if (line.starts_with("| `")) rows.insert(line);
  for (const setting& s : settings()) {
    std::ostringstream row;
    row << "| `" << s.name << "` | " << (*s.default_text ? s.default_text : "empty") << " | " << s.comment
        << " |";
    expected.insert(row.str());
  }
  EXPECT_EQ(rows, expected);
}

}  // namespace
}  // namespace cairn::gc
