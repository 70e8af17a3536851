// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The environment: what each setting does to a program, what is reported, and the checks it turns on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <regex>
#include <sstream>

#include "process/process.h"

namespace {

using process::outcome;
using testing::HasSubstr;

outcome scene(const char* name, std::vector<std::string> env = {}) {
  return process::run(CAIRN_SETTINGS_CHILD, {name}, std::move(env));
}

struct settings {
  int percent = 0;
  std::size_t limit = 0;
  int procs = 0;
};
settings settings_with(std::vector<std::string> env, std::string* err = nullptr) {
  outcome o = scene("print_settings", std::move(env));
  EXPECT_EQ(o.exit_status, 0) << o;
  settings s;
  std::istringstream(o.out) >> s.percent >> s.limit >> s.procs;
  if (err != nullptr) *err = o.err;
  else EXPECT_EQ(o.err, "");
  return s;
}

// ---- values -----------------------------------------------------------------------------------------------

TEST(Environment, IsSilentAndAtItsDefaultsWhenNothingIsSet) {
  const settings s = settings_with({});
  EXPECT_EQ(s.percent, 100);
  EXPECT_EQ(s.limit, SIZE_MAX);
  EXPECT_GE(s.procs, 1);
}

TEST(Environment, LeavesAsManyProcsAsProcessorsMayBeUsed) {
  const outcome o = scene("print_procs_on_one_processor");
  EXPECT_EQ(o.exit_status, 0) << o;
  EXPECT_EQ(o.out, "1\n") << o;
}

TEST(Environment, SetsThePercent) {
  EXPECT_EQ(settings_with({"CAIRNGC=50"}).percent, 50);
  EXPECT_EQ(settings_with({"CAIRNGC=off"}).percent, -1);
  EXPECT_EQ(settings_with({"CAIRNGC=400"}).percent, 400);
}

TEST(Environment, SetsTheMemoryLimitInEveryUnit) {
  EXPECT_EQ(settings_with({"CAIRNMEMLIMIT=4GiB"}).limit, std::size_t{4} << 30);
  EXPECT_EQ(settings_with({"CAIRNMEMLIMIT=300MiB"}).limit, std::size_t{300} << 20);
  EXPECT_EQ(settings_with({"CAIRNMEMLIMIT=5000KiB"}).limit, std::size_t{5000} << 10);
  EXPECT_EQ(settings_with({"CAIRNMEMLIMIT=1TiB"}).limit, std::size_t{1} << 40);
  EXPECT_EQ(settings_with({"CAIRNMEMLIMIT=123456789B"}).limit, 123456789u);
  EXPECT_EQ(settings_with({"CAIRNMEMLIMIT=123456789"}).limit, 123456789u);
}

TEST(Environment, SetsTheProcs) { EXPECT_EQ(settings_with({"CAIRNMAXPROCS=3"}).procs, 3); }

TEST(Environment, ReportsWhatDoesNotParseAndUsesTheDefault) {
  const settings plain = settings_with({});
  for (const char* bad : {"CAIRNGC=fast", "CAIRNGC=10x", "CAIRNGC=99999999999999999999", "CAIRNMEMLIMIT=4 GiB",
                          "CAIRNMEMLIMIT=much", "CAIRNMEMLIMIT=-1", "CAIRNMEMLIMIT=99999999999TiB",
                          "CAIRNMAXPROCS=0", "CAIRNMAXPROCS=two", "CAIRNSTACK=huge"}) {
    std::string err;
    const settings s = settings_with({bad}, &err);
    const std::string name = std::string(bad).substr(0, std::string(bad).find('='));
    EXPECT_THAT(err, HasSubstr(name)) << bad;
    EXPECT_EQ(s.percent, plain.percent) << bad;
    EXPECT_EQ(s.limit, plain.limit) << bad;
    EXPECT_EQ(s.procs, plain.procs) << bad;
  }
}

TEST(Environment, ReportsUnknownAndBadDebugSettings) {
  std::string err;
  settings_with({"CAIRNDEBUG=nosuchthing=1"}, &err);
  EXPECT_THAT(err, HasSubstr("nosuchthing"));
  settings_with({"CAIRNDEBUG=check=9"}, &err);
  EXPECT_THAT(err, HasSubstr("check"));
  settings_with({"CAIRNDEBUG=check"}, &err);
  EXPECT_THAT(err, HasSubstr("check"));
  settings_with({"CAIRNDEBUG=delay=lots"}, &err);
  EXPECT_THAT(err, HasSubstr("delay"));
}

// ---- traces and checks ------------------------------------------------------------------------------------

TEST(Gctrace, PrintsALineACycleLaidOutAsGos) {
  outcome o = scene("work", {"CAIRNDEBUG=gctrace=1"});
  EXPECT_EQ(o.exit_status, 0) << o;
  const std::regex line(
      R"(gc (\d+) @\d+\.\d{3}s \d+%: [\d.]+\+[\d.]+\+[\d.]+ ms clock, [\d.]+\+[\d.]+/[\d.]+/[\d.]+\+[\d.]+ ms cpu, )"
      R"(\d+->\d+->\d+ MB, \d+ MB goal, \d+ MB stacks, \d+ MB globals, \d+ P( \(forced\))?)");
  std::istringstream lines(o.err);
  int cycle = 0, forced = 0;
  for (std::string text; std::getline(lines, text);) {
    std::smatch m;
    ASSERT_TRUE(std::regex_match(text, m, line)) << text;
    EXPECT_EQ(std::stoi(m[1]), ++cycle);
    forced += m[2].matched;
  }
  EXPECT_EQ(forced, 5);
  EXPECT_GT(cycle, 8);
}

TEST(Off, StartsNoCycleByItself) {
  outcome o = scene("work", {"CAIRNGC=off", "CAIRNDEBUG=gctrace=1"});
  EXPECT_EQ(o.exit_status, 0) << o;
  EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 5) << o;  // those on demand
}

TEST(Ptrcheck, FindsAPointerInMallocMemoryAndNamesTypeAndAddress) {
  outcome o = scene("pointer_in_malloc_memory", {"CAIRNDEBUG=ptrcheck=1"});
  EXPECT_EQ(o.signal, SIGABRT) << o;
  EXPECT_THAT(o.err, HasSubstr("forgotten_type"));
  const std::string address = o.out.substr(0, o.out.find('\n'));
  // The store itself is reported, before the program can print where: then only the message knows the
  // address.
  EXPECT_THAT(o.err, HasSubstr(address));
  EXPECT_TRUE(std::regex_search(o.err, std::regex("0x[0-9a-f]+"))) << o;
  EXPECT_THAT(o.err, HasSubstr("root<"));  // what to do
}
TEST(Ptrcheck, IsSilentWherePointersMayLive) {
  outcome o = scene("pointers_in_their_places", {"CAIRNDEBUG=ptrcheck=1"});
  EXPECT_EQ(o.exit_status, 0) << o;
  EXPECT_EQ(o.err, "") << o;
}
TEST(Ptrcheck, ReportsABarrierOnAnUnattachedThread) {
  outcome o = scene("barrier_on_an_unattached_thread", {"CAIRNDEBUG=ptrcheck=1"});
  EXPECT_EQ(o.signal, SIGABRT) << o;
  EXPECT_THAT(o.err, HasSubstr("attach"));
}

TEST(Clobberfree, FillsWhatIsFreed) {
  outcome o = scene("read_dangling", {"CAIRNDEBUG=clobberfree=1"});
  EXPECT_EQ(o.exit_status, 0) << o;
  EXPECT_EQ(o.out, "deadbeefdeadbeef\n") << o;
}
TEST(Invalidptr, AbortsOnAPointerIntoAFreeSlot) {
  outcome o = scene("store_dangling", {"CAIRNDEBUG=invalidptr=1"});
  EXPECT_EQ(o.signal, SIGABRT) << o;
  EXPECT_TRUE(std::regex_search(o.err, std::regex("0x[0-9a-f]+"))) << o;
}
TEST(Invalidptr, IsSilentForASoundProgram) {
  outcome o = scene("work_in_threads", {"CAIRNDEBUG=invalidptr=1"});
  EXPECT_EQ(o.exit_status, 0) << o;
  EXPECT_EQ(o.err, "") << o;
}

class SoundUnder : public testing::TestWithParam<const char*> {};
TEST_P(SoundUnder, AllItsChecks) {
  outcome o = scene("work_in_threads", {std::string("CAIRNDEBUG=") + GetParam()});
  EXPECT_EQ(o.exit_status, 0) << o;
  EXPECT_EQ(o.err, "") << o;
}
INSTANTIATE_TEST_SUITE_P(Debug, SoundUnder,
                         testing::Values("gccheckmark=1", "check=1", "check=2", "check=3", "clobberfree=1",
                                         "gcstoptheworld=1", "delay=100,seed=1",
                                         "delay=300,seed=2,check=3,clobberfree=1",
                                         "gccheckmark=1,check=3,clobberfree=1,invalidptr=1"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           std::replace_if(
                               name.begin(), name.end(), [](char c) { return !std::isalnum(c); }, 'X');
                           return name;
                         });

TEST(Gccheckmark, IsSilentForArraysThatAreBeingMade) {
  outcome o = scene("large_arrays", {"CAIRNDEBUG=gccheckmark=1"});
  EXPECT_EQ(o.exit_status, 0) << o;
  EXPECT_EQ(o.err, "") << o;
}

// ---- memory -----------------------------------------------------------------------------------------------

TEST(AddressSpace, ASmallOneMakesASmallerReservation) {
  outcome o = scene("small_address_space");
  EXPECT_EQ(o.exit_status, 0) << o;
}
TEST(AddressSpace, ExhaustionBySmallObjectsIsBadAllocAndTheProgramGoesOn) {
  outcome o = scene("exhaustion_by_small_objects");
  EXPECT_EQ(o.exit_status, 0) << o;
}
TEST(AddressSpace, ExhaustionByLargeObjectsIsBadAllocAndTheProgramGoesOn) {
  outcome o = scene("exhaustion_by_large_objects");
  EXPECT_EQ(o.exit_status, 0) << o;
}
TEST(AddressSpace, GarbageIsCollectedBeforeAllocationFails) {
  outcome o = scene("exhaustion_is_collected_first");
  EXPECT_EQ(o.exit_status, 0) << o;
}
TEST(AddressSpace, ThatHoldsNoArenaIsBadAlloc) {
  outcome o = scene("too_small_address_space");
  EXPECT_EQ(o.exit_status, 0) << o;
  EXPECT_EQ(o.out, "bad_alloc\n") << o;
}

// ---- exceptions that leave what the runtime called --------------------------------------------------------

class ExceptionFrom : public testing::TestWithParam<const char*> {};
TEST_P(ExceptionFrom, EndsTheProgramWithStatusTwoAndAMessage) {
  outcome o = scene((std::string("throw_") + GetParam()).c_str());
  EXPECT_EQ(o.exit_status, 2) << o;
  if (std::string(GetParam()) != "an_int_from_goroutine")
    EXPECT_THAT(o.err, HasSubstr("nobody catches this"));
  else EXPECT_THAT(o.err, HasSubstr("int"));
}
INSTANTIATE_TEST_SUITE_P(Runtime, ExceptionFrom,
                         testing::Values("from_goroutine", "from_goroutine_in_run", "from_destructor",
                                         "from_cleanup", "from_finalizer", "an_int_from_goroutine"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           std::replace(name.begin(), name.end(), '_', 'X');
                           return name;
                         });

}  // namespace
