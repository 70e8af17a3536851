// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Running past the end of a goroutine's stack ends the program with status 2 and a message that names the goroutine and
// the size of the stack.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "process/process.h"

namespace {

using process::outcome;
using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;

constexpr const char* k_children[] = {CAIRN_OVERFLOW_CHILD, CAIRN_OVERFLOW_CLASH_CHILD};

void expect_overflow(const char* child, const char* name, const char* size_in_kib = "256",
                     std::vector<std::string> env = {}) {
  const outcome o = process::run(child, {name}, std::move(env), std::chrono::seconds(60));
  EXPECT_EQ(o.exit_status, 2) << name << ": " << o;
  EXPECT_THAT(o.err, HasSubstr("overflow")) << name << ": " << o;
  const std::string bytes = std::to_string(std::stol(size_in_kib) * 1024);
  EXPECT_THAT(o.err, AnyOf(HasSubstr(std::string(size_in_kib) + " KiB"), HasSubstr(bytes)))
      << name << ": " << o;
  EXPECT_THAT(o.err, HasSubstr("goroutine " + o.out.substr(0, o.out.find('\n')))) << name << ": " << o;
}
void expect_well(const char* name, std::vector<std::string> env = {}) {
  for (const char* child : k_children) {
    const outcome o = process::run(child, {name}, env, std::chrono::seconds(60));
    EXPECT_EQ(o.exit_status, 0) << name << ": " << o;
    EXPECT_EQ(o.err, "") << name << ": " << o;
  }
}

TEST(StackOverflow, IsNamedForSmallAndLargeFrames) {
  for (const char* child : k_children)
    for (const char* name : {"frames_of_100", "frames_of_4096", "frames_of_32768"})
      expect_overflow(child, name);
}
// Without stack-clash protection a frame larger than the guard may step over it: nobody can promise anything then.
TEST(StackOverflow, IsNamedForAFrameLargerThanTheStack) {
  expect_overflow(CAIRN_OVERFLOW_CLASH_CHILD, "frames_of_1048576");
}
TEST(StackOverflow, OfMainIsNamed) {
  for (const char* child : k_children) expect_overflow(child, "in_main", "8192");  // as large as a thread's
}
TEST(StackOverflow, AfterParksIsNamed) { expect_overflow(CAIRN_OVERFLOW_CHILD, "after_parks"); }
TEST(StackOverflow, BesideCollectionsIsNamed) { expect_overflow(CAIRN_OVERFLOW_CHILD, "beside_collections"); }
TEST(StackOverflow, InBlockingIsNamed) { expect_overflow(CAIRN_OVERFLOW_CHILD, "in_blocking"); }
TEST(StackOverflow, OfAChosenSizeIsNamedWithThat) {
  expect_overflow(CAIRN_OVERFLOW_CHILD, "on_a_small_stack", "64");
  expect_overflow(CAIRN_OVERFLOW_CHILD, "frames_of_4096", "1024", {"CAIRNSTACK=1024KiB"});
}
TEST(StackOverflow, DoesNotComeBeforeTheEnd) {
  expect_well("most_of_it_may_be_used");
  expect_well("a_large_stack_may_be_used");
}
TEST(StackOverflow, AWildPointerIsNone) {
  for (const char* child : k_children) {
    const outcome o = process::run(child, {"no_overflow_but_a_wild_pointer"});
    EXPECT_EQ(o.signal, SIGSEGV) << o;
    EXPECT_THAT(o.err, Not(HasSubstr("overflow"))) << o;
  }
}

}  // namespace
