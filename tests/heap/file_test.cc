// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "heap/file.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>

namespace {

using cairn::heap::file;

class File : public testing::Test {
 protected:
  void SetUp() override { std::ofstream(path_) << "ten letters"; }
  void TearDown() override { std::remove(path_.c_str()); }

  const std::string path_ = testing::TempDir() + "cairn-file-test-" + std::to_string(getpid());
};

TEST_F(File, IsReadFromItsBeginningToItsEnd) {
  const file f(path_.c_str());
  ASSERT_TRUE(f.is_open());
  char text[8] = {};
  EXPECT_EQ(f.read(text, 4), 4);
  EXPECT_STREQ(text, "ten ");
  EXPECT_EQ(f.read(text, 7), 7);
  EXPECT_STREQ(text, "letters");
  EXPECT_EQ(f.read(text, 1), 0);
}

TEST_F(File, IsReadAtAnyPlaceWithoutMovingOn) {
  const file f(path_.c_str());
  char text[8] = {};
  EXPECT_EQ(f.read_at(4, text, 7), 7);
  EXPECT_STREQ(text, "letters");
  EXPECT_EQ(f.read_at(9, text, 7), 2);
  EXPECT_EQ(f.read_at(11, text, 7), 0);
  EXPECT_EQ(f.read(text, 3), 3);
  EXPECT_EQ(std::memcmp(text, "ten", 3), 0);
}

TEST_F(File, SaysWhenItHasFewerBytesThanAllThatAreWanted) {
  const file f(path_.c_str());
  char text[16] = {};
  EXPECT_TRUE(f.read_all_at(4, text, 7));
  EXPECT_STREQ(text, "letters");
  EXPECT_FALSE(f.read_all_at(4, text, 8));
}

TEST_F(File, ThatIsNotThereReadsNothing) {
  const file f((path_ + "-not").c_str());
  char text[1];
  EXPECT_FALSE(f.is_open());
  EXPECT_EQ(f.read(text, 1), -1);
  EXPECT_EQ(f.read_at(0, text, 1), -1);
  EXPECT_FALSE(f.read_all_at(0, text, 1));
}

}  // namespace
