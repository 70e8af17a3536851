// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What the demo does without the library: reading an index, complaining about one, the order of versions, and the
// reference on graphs small enough to be answered by hand. depgraph_graph_test.cc has the rest.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "bench/depgraph/command_line.h"
#include "bench/depgraph/index_reader.h"
#include "bench/depgraph/latency.h"
#include "bench/depgraph/reference.h"
#include "bench/depgraph/relation_syntax.h"
#include "bench/depgraph/version_order.h"
#include "bench/depgraph/wire.h"
#include "scale.h"

namespace {

using namespace depgraph;

const std::string k_source = CAIRN_SOURCE_DIR;

records read_text(std::string_view text) {
  line_reader in(text, "index");
  return read_index(in);
}

// The complaint about the text, empty if it is accepted.
std::string complaint(std::string_view text) {
  try {
    read_text(text);
    return {};
  } catch (const index_error& e) {
    return e.what();
  }
}

// "a (3 1.0) | b" and so on: what a stanza's clauses became; relations as numbers.
std::string shown(const records& from, std::size_t slot) {
  std::string out;
  const stanza& s = from.stanzas[slot];
  for (std::uint32_t c = s.clauses.first; c < s.clauses.last; c++) {
    clause any_of = from.clauses[c];
    for (std::uint32_t t = any_of.first; t < any_of.last; t++) {
      const target& one = from.targets[t];
      out += t != any_of.first ? " | " : c != s.clauses.first ? ", " : "";
      out += from.names[one.name];
      if (one.how != relation::any) {
        out += " (" + std::to_string(static_cast<int>(one.how)) + " " + std::string(one.version) + ")";
      }
    }
  }
  return out;
}

std::string stanza_with(const std::string& fields) { return "Package: a\nVersion: 1\n" + fields + "\n"; }

struct outcome {
  int status;
  std::string output, errors;
};

// Runs the program itself through the shell; `arguments` are quoted by the caller.
outcome run_program(const std::string& arguments) {
  std::string errors = testing::TempDir() + "depgraph_errors_" + std::to_string(::getpid());
  std::string command = std::string("'") + CAIRN_DEPGRAPH + "' " + arguments + " 2>'" + errors + "'";
  outcome out{};
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return {-1, "", "popen failed"};
  char buffer[4096];
  for (std::size_t got; (got = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;)
    out.output.append(buffer, got);
  int status = ::pclose(pipe);
  out.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  std::ostringstream text;
  text << std::ifstream(errors).rdbuf();
  out.errors = text.str();
  ::unlink(errors.c_str());
  return out;
}

TEST(IndexReader, ReadsFieldsInAnyOrderCaseAndFolding) {
  records from = read_text(
      "PROVIDES: v (= 3),\n w\nDepends: b (>= 2),\n c |\n\td\nversion: 1:2-3\nPre-depends: e\npackage: a\n"
      "Architecture:amd64\n\nPackage: b\nVersion: 2\n\n");
  ASSERT_EQ(from.stanzas.size(), 2u);
  EXPECT_EQ(from.names[from.stanzas[0].name], "a");
  EXPECT_EQ(from.stanzas[0].version, "1:2-3");
  EXPECT_EQ(from.stanzas[0].architecture, "amd64");
  EXPECT_EQ(shown(from, 0), "e, b (4 2), c | d");
  ASSERT_EQ(from.provides.size(), 2u);
  EXPECT_EQ(from.provides[0].version, "3");
  EXPECT_EQ(from.names[from.provides[1].name], "w");
  EXPECT_EQ(from.stanzas[1].clauses.size(), 0u);
}

TEST(IndexReader, AcceptsWhatIndexesInTheWildHold) {
  EXPECT_EQ(complaint("\n\n \nPackage: a\r\nVersion: 1\r\n\r\n"), "");
  EXPECT_EQ(complaint("Package: a\nVersion: 1"), "index:2: cut record: the input ends within this line");
  EXPECT_EQ(complaint("Package: a\nVersion: 1\n"), "");  // without the last blank line
  EXPECT_EQ(complaint(stanza_with("X-Odd_Field.1: \xc3\xa9\xff:\n .\n more\nTag:\n")), "");
  EXPECT_EQ(read_text(stanza_with("Depends: \n") + stanza_with("Depends: , b,\n c,\n")).clauses.size(), 2u);
  records from = read_text(
      stanza_with("Depends: perl:any (>> 5)|x (<<1~), g++-12(<=1:2), old (< 3), new (> 3)\n") +
      "Package: a\nVersion: 2\n\n");
  EXPECT_EQ(shown(from, 0), "perl (5 5) | x (1 1~), g++-12 (2 1:2), old (2 3), new (4 3)");
  EXPECT_EQ(from.stanzas[0].name, from.stanzas[1].name) << "two versions of one package";
}

TEST(IndexReader, AppliesArchitectureAndProfileRestrictions) {
  auto kept = [](const std::string& field) {
    return shown(read_text(stanza_with("Depends: " + field + "\nArchitecture: amd64\n")), 0);
  };
  EXPECT_EQ(kept("b [amd64 i386] | c [i386]"), "b");
  EXPECT_EQ(kept("b [!amd64], c [!i386 !arm64]"), "c");
  EXPECT_EQ(kept("b [any], c (>= 1) [linux-any]"), "b, c (4 1)");
  EXPECT_EQ(kept("b <!nocheck>, c <cross>, d <cross> <!stage1>, e <!x y>"), "b, d");
  EXPECT_EQ(kept("b:native [amd64] <!nodoc>"), "b");
}

TEST(IndexReader, ReadsTheSampleFromADescriptorAsFromMemory) {
  std::string path = k_source + "/bench/depgraph/sample/packages.txt";
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  records memory = read_text(text.str());
  index_file file(path);
  for (int again = 0; again < 2; again++) {
    records from = file.read();
    EXPECT_GT(from.stanzas.size(), 300u);
    EXPECT_EQ(from.stanzas.size(), memory.stanzas.size());
    EXPECT_EQ(from.names, memory.names);
    EXPECT_EQ(from.targets.size(), memory.targets.size());
  }
}

TEST(IndexReader, ReadsLongLinesAndRefusesOverlongOnes) {
  std::string half(400000, 'x');  // beyond the buffer's first size
  EXPECT_EQ(complaint(stanza_with("Tag: " + half + "\n")), "");
  std::string overlong = stanza_with("Tag: " + half + half + half + "\n");
  EXPECT_EQ(complaint(overlong), "index:3: overlong line: more than 1048576 bytes");

  // From a descriptor the line is refused before all of it is there.
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  std::thread writer([&] {
    std::string endless = "Package: " + half + half + half + half;
    EXPECT_GT(::write(ends[1], endless.data(), endless.size()), 0);
    ::close(ends[1]);
  });
  line_reader in(ends[0], "pipe");
  EXPECT_THROW(read_index(in), index_error);
  for (char rest[4096]; ::read(ends[0], rest, sizeof rest) > 0;) continue;
  writer.join();
  ::close(ends[0]);
}

TEST(IndexReader, BoundsTheFieldsOfAStanza) {
  std::string fields;
  for (int i = 0; i < 1000; i++) fields += "F" + std::to_string(i) + ": x\n";
  EXPECT_EQ(complaint(stanza_with(fields)), "index:1001: more than 1000 fields in one stanza");
}

// Every prefix of an index is either read or complained about with file and line.
TEST(IndexReader, SurvivesACutAnywhere) {
  std::string text =
      "Package: a\nVersion: 1:1.0~rc1-2\nArchitecture: amd64\nDepends: b (>= 2) [amd64] <!x> | c:any,\n d\n"
      "Provides: e (= 1)\n\nPackage: b\nVersion: 2\n\n";
  std::size_t accepted = 0;
  for (std::size_t length = 0; length <= text.size(); length++) {
    std::string what = complaint(text.substr(0, length));
    accepted += what.empty();
    EXPECT_TRUE(what.empty() || what.starts_with("index:")) << what;
  }
  EXPECT_GE(accepted, 4u);
}

TEST(IndexReader, SurvivesRandomDamage) {
  std::ifstream file(k_source + "/bench/depgraph/sample/packages.txt", std::ios::binary);
  std::string sample(20000, ' ');
  file.read(sample.data(), static_cast<std::streamsize>(sample.size()));
  sample.resize(sample.rfind("\n\n") + 2);
  ASSERT_EQ(complaint(sample), "");
  std::size_t refused = 0, runs = test_count(2000, 200);
  for (std::uint64_t run = 0; run < runs; run++) {
    std::string damaged = sample;
    for (std::uint64_t i = 0; i < 1 + run % 4; i++) {
      std::uint64_t bits = mixed(run * 8 + i);
      std::size_t at = bits % damaged.size();
      if (bits >> 60 < 8) damaged[at] = static_cast<char>(bits >> 32);
      else if (bits >> 60 < 12) damaged.erase(at, (bits >> 32) % 50);
      else damaged.insert(at, damaged, (bits >> 20) % damaged.size(), (bits >> 40) % 50);
    }
    std::string what = complaint(damaged);
    refused += !what.empty();
    for (char c : what) ASSERT_TRUE(c >= ' ' && c <= '~') << "run " << run << ": " << what;
  }
  EXPECT_GT(refused, runs / 10);
  EXPECT_LT(refused, runs);
}

struct bad_input {
  const char *file, *complaint;
};

const bad_input k_bad_inputs[] = {
    {"bad_constraint_version.txt", ":7: Depends: no version at \")\""},
    {"bad_epoch.txt", ":6: Version: bad version \"x:2\": the epoch is not a small number"},
    {"bad_field_name.txt", ":6: bad field name \"Ver sion\""},
    {"bad_folded_dependency.txt",
     ":7: Pre-Depends: package name \"-d\" does not start with a letter or digit"},
    {"bad_package.txt", ":5: Package: package name \"b c\" has odd characters"},
    {"bad_provides.txt", ":7: Provides: a provided version needs \"=\""},
    {"bad_relation.txt", ":7: Depends: unknown relation \"=>\" at \" 1)\""},
    {"bad_restriction.txt", ":7: Depends: no \"]\" or name in the restriction at \"| c\""},
    {"bad_version.txt", ":6: Version: bad version \"2_0/1\": odd characters"},
    {"binary_noise.bin", ":1: not text: byte 0x0e in column 3"},
    {"blank_lines.txt", ":3: no stanza in the input"},
    {"cut_record.txt", ":7: cut record: the input ends within this line"},
    {"cut_stanza.txt", ":5: the stanza has no Version field"},
    {"empty.txt", ":1: empty input"},
    {"empty_alternative.txt", ":7: Depends: no package name at \", c\""},
    {"empty_revision.txt", ":6: Version: bad version \"2-\": the revision is empty"},
    {"field_twice.txt", ":8: field version given twice in the stanza of line 5"},
    {"no_colon.txt", ":6: no colon in \"Version 2\""},
    {"no_comma.txt", ":7: Depends: no \",\" or \"|\" at \"c\""},
    {"no_field_name.txt", ":6: no field name before the colon"},
    {"no_package.txt", ":5: the stanza has no Package field"},
    {"nul_byte.txt", ":7: not text: byte 0x00 in column 15"},
    {"open_parenthesis.txt", ":7: Depends: bad version \"1,\": odd characters"},
    {"stray_continuation.txt", ":5: continuation line without a field before it"},
    {"missing.txt", ": cannot be opened: No such file or directory"},
    {".", ": cannot be read: Is a directory"},
};

TEST(DepgraphProgram, NamesTheFaultOfEachBadInputOnOneLineWithStatusTwo) {
  for (const bad_input& bad : k_bad_inputs) {
    std::string path = k_source + "/tests/bench/depgraph_bad/" + bad.file;
    outcome got = run_program("--seconds 0.1 '" + path + "'");
    EXPECT_EQ(got.status, 2) << bad.file;
    EXPECT_EQ(got.errors, path + bad.complaint + "\n");
    EXPECT_EQ(got.output, "") << bad.file;
  }
}

TEST(DepgraphProgram, NamesStandardInputToo) {
  outcome got = run_program("- < '" + k_source + "/tests/bench/depgraph_bad/no_colon.txt'");
  EXPECT_EQ(got.status, 2);
  EXPECT_EQ(got.errors, "standard input:6: no colon in \"Version 2\"\n");
  got = run_program("- < /dev/null");
  EXPECT_EQ(got.errors, "standard input:1: empty input\n");
  got = run_program("- <&-");
  EXPECT_EQ(got.status, 2);
  EXPECT_EQ(got.errors, "standard input: cannot be opened: Bad file descriptor\n");
}

TEST(DepgraphProgram, RefusesWrongArgumentsWithStatusTwo) {
  for (const char* wrong : {"", "a b", "--in-flight 0 -", "--in-flight 10000001 -", "--in-flight 1e4 -",
                            "--procs 0 -", "--procs 1001 -", "--procs -", "--threads 1 -", "--seconds x -",
                            "--percents 100,,50 -", "--percents 0 -", "--memory-limit 3MB -", "--unknown 1 -",
                            "--seed", "--percents none --memory-limit none -",
                            "--memory-limit 99999999999999999999 -", "--seconds nan -"}) {
    outcome got = run_program(wrong);
    EXPECT_EQ(got.status, 2) << wrong;
    EXPECT_EQ(got.errors.rfind("depgraph: ", 0), 0u) << wrong << ": " << got.errors;
    EXPECT_EQ(got.errors.find('\n'), got.errors.size() - 1) << got.errors;
  }
  outcome help = run_program("--help");
  EXPECT_EQ(help.status, 0);
  EXPECT_NE(help.output.find("--memory-limit"), std::string::npos);
}

TEST(CommandLine, ReadsSettings) {
  command_line line = read_command_line(
      {"--percents=50,off", "--memory-limit", "96MiB", "--procs", "3", "--in-flight=77", "-"});
  EXPECT_EQ(line.input, "-");
  EXPECT_EQ(line.what.procs, 3);
  EXPECT_EQ(line.what.in_flight, 77u);
  EXPECT_EQ(read_command_line({"x"}).what.in_flight, 10000u);
  EXPECT_GE(read_command_line({"x"}).what.procs, 1);
  ASSERT_EQ(line.settings.size(), 3u);
  EXPECT_EQ(line.settings[0].percent, 50);
  EXPECT_EQ(line.settings[1].title(), "off");
  EXPECT_EQ(line.settings[2].limit_bytes, std::size_t{96} << 20);
  EXPECT_EQ(read_command_line({"x"}).settings.size(), 6u);
  EXPECT_EQ(read_command_line({"x", "--memory-limit", "none"}).settings.size(), 5u);
}

// Ascending; neighbours on one line are equal. From policy 5.6.12 and what dpkg --compare-versions says.
const std::vector<std::vector<std::string>> k_ascending{{"0~~"},
                                                        {"0~~a"},
                                                        {"0~"},
                                                        {"0", "0-0", "0:0"},
                                                        {"0a"},
                                                        {"0.1"},
                                                        {"1~~"},
                                                        {"1~rc1-1"},
                                                        {"1~rc2"},
                                                        {"1", "01", "1-0"},
                                                        {"1-1"},
                                                        {"1-1+b1"},
                                                        {"1-1.1"},
                                                        {"1-10"},
                                                        {"1a"},
                                                        {"1+r2"},
                                                        {"1."},
                                                        {"1.1"},
                                                        {"1.2.3-1~bpo1"},
                                                        {"1.2.3-1"},
                                                        {"1.10"},
                                                        {"1.99999999999999999999999"},
                                                        {"1.100000000000000000000000"},
                                                        {"2.0-1-1"},
                                                        {"1:0.1"},
                                                        {"2:0"},
                                                        {"10:0"}};

TEST(VersionOrder, IsDebiansInBothImplementations) {
  for (std::size_t i = 0; i < k_ascending.size(); i++) {
    for (std::size_t j = 0; j < k_ascending.size(); j++) {
      for (const std::string& a : k_ascending[i]) {
        for (const std::string& b : k_ascending[j]) {
          int expected = i < j ? -1 : i > j;
          EXPECT_EQ(version_order(a, b), expected <=> 0) << a << " " << b;
          EXPECT_EQ(reference_version_order(a, b), expected) << a << " " << b;
        }
      }
    }
  }
}

TEST(VersionOrder, AgreesWithTheReferenceOnRandomVersions) {
  auto random_version = [](std::uint64_t seed) {
    constexpr std::string_view k_alphabet = "00112~~aZ+.-.:";
    std::string out = "1";
    for (std::uint64_t i = 0; i < 1 + seed % 7; i++)
      out += k_alphabet[mixed(seed * 16 + i) % k_alphabet.size()];
    return version_fault(out).empty() ? out : "1";
  };
  for (std::uint64_t i = 0; i < test_count(200000); i++) {
    std::string a = random_version(2 * i), b = random_version(2 * i + 1);
    ASSERT_EQ(version_order(a, b), reference_version_order(a, b) <=> 0) << a << " " << b;
    ASSERT_EQ(version_order(b, a), reference_version_order(b, a) <=> 0) << a << " " << b;
  }
}

// A set of slots as an answer has it.
answer of(std::vector<slot_id> slots, std::uint32_t length = 0) {
  answer out;
  for (slot_id s : slots) out.add(s);
  out.length = length;
  return out;
}

std::string package_text(const std::string& name, const std::string& depends, const std::string& more = "") {
  return "Package: " + name + "\nVersion: 1\n" + (depends.empty() ? "" : "Depends: " + depends + "\n") +
         more + "\n";
}

TEST(Reference, FollowsPreferredCandidates) {
  records from = read_text(
      package_text("a", "missing | b, v") + package_text("b", "c (>= 2) | d") + package_text("c", "") +
      package_text("d", "") + package_text("p", "", "Provides: v\n") +
      package_text("q", "", "Provides: v (= 2)\n") + package_text("e", "v (>= 2), nowhere"));
  reference right(from);
  EXPECT_EQ(right.ask({query_kind::closure, 0, 0}), of({0, 1, 3, 4}));
  EXPECT_EQ(right.ask({query_kind::closure, 6, 0}), of({6, 5}));  // only q provides a version
}

TEST(Reference, PrefersTheNewestVersionThatFits) {
  records from = read_text("Package: b\nVersion: 1\n\nPackage: b\nVersion: 3\n\nPackage: b\nVersion: 2\n\n" +
                           package_text("a", "b (<< 3)") + package_text("c", "b"));
  reference right(from);
  EXPECT_EQ(right.ask({query_kind::closure, 3, 0}), of({3, 2}));
  EXPECT_EQ(right.ask({query_kind::closure, 4, 0}), of({4, 1}));
}

TEST(Reference, FindsShortestPaths) {
  records from = read_text(package_text("a", "b, c") + package_text("b", "d") + package_text("c", "e") +
                           package_text("d", "e") + package_text("e", "a"));
  reference right(from);
  answer path = right.ask({query_kind::why, 0, 4});
  EXPECT_EQ(path.length, 2u);
  EXPECT_EQ(path.count, 3u);
  EXPECT_TRUE(right.is_answer({query_kind::why, 0, 4}, {0, 2, 4}));
  EXPECT_FALSE(right.is_answer({query_kind::why, 0, 4}, {0, 1, 3, 4}));
  EXPECT_FALSE(right.is_answer({query_kind::why, 0, 4}, {0, 3, 4}));
  EXPECT_EQ(right.ask({query_kind::why, 0, 0}).count, 1u);
  EXPECT_EQ(right.ask({query_kind::cycle, 0, 0}), of({0, 1, 2, 3, 4}, 3));
}

TEST(Reference, TellsCyclesFromWhatHangsOnThem) {
  records from = read_text(package_text("a", "b") + package_text("b", "c, x") + package_text("c", "b") +
                           package_text("x", "x"));
  reference right(from);
  EXPECT_EQ(right.ask({query_kind::cycle, 0, 0}), of({0}));
  EXPECT_EQ(right.ask({query_kind::cycle, 1, 0}), of({1, 2}, 2));
  EXPECT_EQ(right.ask({query_kind::cycle, 3, 0}), of({3}, 1));
  EXPECT_EQ(right.ask({query_kind::why, 3, 0}).count, 0u);
}

TEST(Reference, BreaksOnlyWhatLosesItsLastCandidate) {
  records from = read_text(package_text("lib", "") + package_text("one", "lib") +
                           package_text("either", "lib | other") + package_text("other", "one") +
                           package_text("broken", "nowhere") + package_text("both", "broken, v") +
                           package_text("p", "lib", "Provides: v\n") + package_text("free", ""));
  reference right(from);
  EXPECT_EQ(right.ask({query_kind::breaks, 0, 0}), of({1, 2, 3, 5, 6}));
  EXPECT_EQ(right.ask({query_kind::breaks, 3, 0}), of({}));
  EXPECT_EQ(right.ask({query_kind::breaks, 4, 0}), of({5}));
}

TEST(Edition, IsAFunctionOfSlotAndGeneration) {
  records from = read_text(package_text("a", "b | c, d", "Provides: v, w\n"));
  edition first = edition_of(from, 0, 0), odd = edition_of(from, 0, 1);
  EXPECT_EQ(first.version, "1");
  EXPECT_EQ(odd.version, "1+r1");
  EXPECT_TRUE(version_order(odd.version, first.version) > 0);
  bool lost = false, turned = false, unprovided = false;
  for (std::uint32_t g = 1; g < 200; g++) {
    edition e = edition_of(from, 0, g);
    lost |= e.clauses.size() == 1;
    turned |= e.clauses.size() == 2 && e.clauses[0].size() == 2 && from.names[e.clauses[0][0].name] == "c";
    unprovided |= e.provides.size() == 1;
  }
  EXPECT_TRUE(lost && turned && unprovided);
}

TEST(LatencyHistogram, KnowsPercentilesToThreePercent) {
  histogram h;
  EXPECT_EQ(h.percentile(99).count(), 0);
  for (int i = 1; i <= 100000; i++) h.add(nanoseconds(i * 10));
  EXPECT_NEAR(static_cast<double>(h.percentile(50).count()), 500000, 500000 * 0.035);
  EXPECT_NEAR(static_cast<double>(h.percentile(99.9).count()), 999000, 999000 * 0.035);
  EXPECT_EQ(h.max().count(), 1000000);
  EXPECT_EQ(h.percentile(100).count(), 1000000);
  histogram wide;
  for (std::int64_t ns : {std::int64_t{0}, std::int64_t{1}, std::int64_t{31}, std::int64_t{32}, INT64_MAX})
    wide.add(nanoseconds(ns));
  EXPECT_EQ(wide.percentile(40).count(), 1);
  EXPECT_EQ(wide.percentile(60).count(), 31);
  EXPECT_EQ(wide.max().count(), INT64_MAX);
  wide.merge(h);
  EXPECT_EQ(wide.count(), 100005u);
}

TEST(Wire, CarriesEveryFigure) {
  measured from, back;
  from.build_s = 0.25;
  from.kinds[3].p999_us = 1234.5;
  from.pauses.count = 77;
  from.waited.max_us = 2e6;
  from.peak_rss_bytes = 5e9;
  from.wrong = 3;
  std::string lines = to_lines(from);
  ASSERT_TRUE(from_lines(lines, back));
  EXPECT_EQ(to_lines(back), lines);
  EXPECT_EQ(back.kinds[3].p999_us, 1234.5);
  EXPECT_EQ(back.waited.max_us, 2e6);
  EXPECT_FALSE(from_lines(lines.substr(0, lines.size() / 2), back));
  EXPECT_NE(to_json(from).find("\"peak_rss_bytes\": 5000000000"), std::string::npos);
}

}  // namespace
