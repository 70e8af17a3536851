// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The gctrace line, as the tools that read Go's read it.
#include "gc/gctrace.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <regex.h>

namespace cairn::gc {
namespace {

// The groups that a reader of Go's lines looks for (Go 1.19 and later, with stacks and globals); empty: no match.
// POSIX's regular expressions: GCC 12 warns about its own <regex> under sanitizers.
std::vector<std::string> groups_of(const std::string& line) {
#define MS "(0|0[.][0-9]{2,3}|[0-9][.][0-9]|[0-9]{2,})"  // the only forms in which Go prints a time
  static const char* const
      k_line = "^gc ([0-9]+) @([0-9]+[.][0-9]{3})s ([0-9]{1,3})%: " MS "[+]" MS "[+]" MS " ms clock, " MS
               "[+]" MS "/" MS "/" MS "[+]" MS
               " ms cpu, "
               "([0-9]+)->([0-9]+)->([0-9]+) MB, ([0-9]+) MB goal, ([0-9]+) MB stacks, ([0-9]+) MB globals, "
               "([0-9]+) P( [(]forced[)])?\n$";
#undef MS
  constexpr std::size_t k_groups = 20;
  regex_t expression;
  EXPECT_EQ(regcomp(&expression, k_line, REG_EXTENDED), 0);
  regmatch_t found[k_groups];
  std::vector<std::string> groups;
  if (regexec(&expression, line.c_str(), k_groups, found, 0) == 0)
    for (const regmatch_t& f : found)
      groups.push_back(f.rm_so < 0 ? ""
                                   : line.substr(static_cast<std::size_t>(f.rm_so),
                                                 static_cast<std::size_t>(f.rm_eo - f.rm_so)));
  regfree(&expression);
  return groups;
}

std::string format(const cycle_record& c) {
  char line[k_gctrace_bytes];
  return std::string(line, format_gctrace(c, line, sizeof(line)));
}

cycle_record sample() {
  cycle_record c;
  c.number = 7;
  c.since_start = 2'100'999'999;
  c.cpu_fraction = 0.039;
  c.sweep_clock = 20'000;
  c.mark_clock = 1'400'000;
  c.end_clock = 30'000;
  c.sweep_cpu = 200'000;
  c.assist_cpu = 400'000;
  c.worker_cpu = 2'700'000;
  c.idle_cpu = 0;
  c.end_cpu = 300'000;
  c.heap_at_start = 41 << 20;
  c.heap_at_end = (42 << 20) + 1000;
  c.heap_live = (21 << 20) - 1;
  c.heap_goal = 42 << 20;
  c.stack_bytes = 1 << 20;
  c.globals_bytes = 5000;
  c.procs = 8;
  return c;
}

TEST(GcTrace, LaysTheLineOutAsGoDoes) {
  EXPECT_EQ(
      format(sample()),
      "gc 7 @2.100s 3%: 0.020+1.4+0.030 ms clock, 0.20+0.40/2.7/0+0.30 ms cpu, 41->42->20 MB, 42 MB goal, "
      "1 MB stacks, 0 MB globals, 8 P\n");
}

TEST(GcTrace, ParsesWithTheExpressionOfGoTools) {
  cycle_record c = sample();
  c.forced = true;
  std::string line = format(c);
  std::vector<std::string> m = groups_of(line);
  ASSERT_EQ(m.size(), 20u) << line;
  const char* expected[] = {"7",    "2.100", "3",  "0.020", "1.4", "0.030", "0.20", "0.40", "2.7",      "0",
                            "0.30", "41",    "42", "20",    "42",  "1",     "0",    "8",    " (forced)"};
  for (std::size_t i = 0; i < std::size(expected); ++i) EXPECT_EQ(m[i + 1], expected[i]) << i;
}

TEST(GcTrace, PrintsTwoDigitsOfEachTime) {
  struct {
    std::uint64_t ns;
    const char* text;
  } cases[] = {{0, "0"},           {999, "0"},           {1'000, "0.001"},
               {12'999, "0.012"},  {100'000, "0.10"},    {109'000, "0.10"},
               {999'999, "0.99"},  {1'000'000, "1.0"},   {9'999'999, "9.9"},
               {10'000'000, "10"}, {123'456'789, "123"}, {86'400'000'000'000, "86400000"}};
  for (auto& [time, text] : cases) {
    cycle_record c;
    c.mark_clock = time;
    std::string line = format(c);
    std::vector<std::string> m = groups_of(line);
    ASSERT_EQ(m.size(), 20u) << line;
    EXPECT_EQ(m[5], text) << time;
  }
}

TEST(GcTrace, HoldsTheLargestValues) {
  cycle_record c;
  c.number = c.since_start = UINT64_MAX;
  c.sweep_clock = c.mark_clock = c.end_clock = UINT64_MAX;
  c.sweep_cpu = c.assist_cpu = c.worker_cpu = c.idle_cpu = c.end_cpu = UINT64_MAX;
  c.heap_at_start = c.heap_at_end = c.heap_live = c.heap_goal = SIZE_MAX;
  c.stack_bytes = c.globals_bytes = SIZE_MAX;
  c.cpu_fraction = 17;
  c.procs = INT32_MAX;
  c.forced = true;
  std::string line = format(c);
  EXPECT_EQ(line.back(), '\n') << line;
  EXPECT_NE(line.find(" 100%: "), std::string::npos) << line;
}

TEST(GcTrace, CutsTheLineAtTheBuffersEnd) {
  std::string whole = format(sample());
  char small[41];
  small[40] = '!';
  EXPECT_EQ(format_gctrace(sample(), small, 40), 40u);
  EXPECT_EQ(std::string(small, 40), whole.substr(0, 40));
  EXPECT_EQ(small[40], '!');
}

TEST(GcTrace, WritesTheLineToStandardError) {
  testing::internal::CaptureStderr();
  write_gctrace(sample());
  EXPECT_EQ(testing::internal::GetCapturedStderr(), format(sample()));
}

}  // namespace
}  // namespace cairn::gc
